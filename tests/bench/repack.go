package main

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/apt-be/apt-be/tests/control"
)

// rebuildSuffix is the suffix of the version of a rebuilt package, like that of
// Debian's build daemons.
const rebuildSuffix = "+b9"

// repackAll writes new versions of all packages in a directory to another directory.
// They have the same files, except for an entry in the changelog and all modification
// times. It uses all processors.
func repackAll(from, to string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.deb"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("cannot find packages in %s (%v)", from, err)
	}
	versions := map[string]string{}
	for _, file := range files {
		text, err := output("dpkg-deb", "--show", "--showformat", "${Package} ${Version}", file)
		if err != nil {
			return err
		}
		name, version, _ := strings.Cut(text, " ")
		versions[name] = version
	}
	queue := make(chan string)
	errs := make(chan error, len(files))
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for file := range queue {
				errs <- repack(file, to, versions)
			}
		}()
	}
	for i, file := range files {
		fmt.Fprintf(os.Stderr, "%d of %d: %s\n", i+1, len(files), filepath.Base(file))
		queue <- file
	}
	close(queue)
	workers.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// repack writes the new version of one package.
func repack(file, to string, versions map[string]string) error {
	work, err := os.MkdirTemp(to, ".tree.")
	if err != nil {
		return fmt.Errorf("cannot repack %s: %w", file, err)
	}
	defer os.RemoveAll(work)
	tree := filepath.Join(work, "tree")
	if _, err := output("dpkg-deb", "--raw-extract", file, tree); err != nil {
		return err
	}
	name := filepath.Base(file)
	pkg, rest, _ := strings.Cut(name, "_")
	version, arch, _ := strings.Cut(rest, "_")
	stanza := filepath.Join(tree, "DEBIAN/control")
	data, err := os.ReadFile(stanza)
	if err == nil {
		err = os.WriteFile(stanza, []byte(control.Next(string(data), versions, rebuildSuffix)), 0o644)
	}
	if err == nil {
		err = addEntry(tree, pkg, strings.ReplaceAll(version, "%3a", ":")+rebuildSuffix)
	}
	if err == nil {
		err = touch(tree, time.Now())
	}
	if err != nil {
		return fmt.Errorf("cannot repack %s: %w", file, err)
	}
	// With apt's file names and Debian's compression.
	_, err = output("dpkg-deb", "--build", "-Zxz", "--threads-max=1", tree, filepath.Join(to, pkg+"_"+version+rebuildSuffix+"_"+arch))
	return err
}

// addEntry adds an entry to the top of a package's changelog, if it has one, and
// changes the checksum in the list.
func addEntry(tree, pkg, version string) error {
	for _, name := range []string{"changelog.Debian.gz", "changelog.gz"} {
		path := filepath.Join("usr/share/doc", pkg, name)
		file := filepath.Join(tree, path)
		if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() {
			continue
		}
		old, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		unpacked, err := gzip.NewReader(bytes.NewReader(old))
		if err != nil {
			return err
		}
		text, err := io.ReadAll(unpacked)
		if err != nil {
			return err
		}
		entry := fmt.Sprintf("%s (%s) unstable; urgency=low, binary-only=yes\n\n  * Binary-only non-maintainer upload; no source changes.\n  * Rebuilt.\n\n -- Build daemon <build@localhost>  Thu, 01 Jan 2026 00:00:00 +0000\n\n", pkg, version)
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return err
		}
		_, err = z.Write(append([]byte(entry), text...))
		if err := errors.Join(err, z.Close()); err != nil {
			return err
		}
		if err := os.WriteFile(file, packed.Bytes(), 0o644); err != nil {
			return err
		}
		return replaceSum(filepath.Join(tree, "DEBIAN/md5sums"), path, md5.Sum(old), md5.Sum(packed.Bytes()))
	}
	return nil
}

// replaceSum changes a file's checksum in a list of checksums.
func replaceSum(list, path string, old, sum [md5.Size]byte) error {
	data, err := os.ReadFile(list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	from := hex.EncodeToString(old[:]) + "  " + path
	to := hex.EncodeToString(sum[:]) + "  " + path
	return os.WriteFile(list, []byte(strings.Replace(string(data), from, to, 1)), 0o644)
}

// touch sets the modification time of all files of a tree.
func touch(tree string, when time.Time) error {
	return filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return os.Chtimes(path, when, when)
	})
}
