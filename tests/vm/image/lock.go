package image

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

// abandoned is the maximum time that making an image takes.
const abandoned = 6 * time.Hour

// isKey matches the hash in the name of an image.
var isKey = regexp.MustCompile("^[0-9a-f]{12}$")

// lock creates and locks a file, and waits until no other process has it locked.
func lock(name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", name, err)
	}
	return func() { file.Close() }, nil
}

// hold keeps an image from deletion until the test has ended, and reports whether the
// image exists. The images below are already held.
func hold(t guest.T, dir string) bool {
	file, err := os.Open(dir)
	if err != nil {
		return false
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_SH); err != nil || !exists(dir) {
		file.Close()
		return false
	}
	t.Cleanup(func() { file.Close() })
	return true
}

// collect deletes the images of a stem except the current one, with all images made
// from them, unless they are in use.
func collect(stem, current string) {
	names, err := filepath.Glob(stem + "-*")
	if err != nil {
		return
	}
	for _, name := range names {
		// The rest of the name may belong to another stem.
		key, _, _ := strings.Cut(strings.TrimPrefix(name, stem+"-"), ".")
		if isKey.MatchString(key) && filepath.Base(stem)+"-"+key != current {
			remove(name)
		}
	}
	// Images whose makers ended before completion.
	names, _ = filepath.Glob(filepath.Join(filepath.Dir(stem), ".new.*"))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > abandoned {
			remove(name)
		}
	}
}

// remove deletes an unused image, or the lock of one.
func remove(name string) {
	file, err := os.Open(name)
	if err != nil {
		return
	}
	defer file.Close()
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = os.RemoveAll(name)
	}
}
