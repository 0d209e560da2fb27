package kernels

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"syscall"
	"time"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

// cache has the checksums of files, so that unchanged files of boot environments need
// not be read again. A file is identified by inode, size and times: a snapshot has the
// inodes of its origin, and the same content as long as the change time is the same,
// which no program can set.
type cache struct {
	before map[string]string // the checksums that were read
	now    map[string]string // the checksums that were requested since; only they are written
	clock  func() time.Time
}

// settled is the age after which a further change gets another time. Kernel times
// advance by ticks of at most 10 ms.
const settled = time.Second

// readCache reads a cache. An unreadable cache counts as empty, which only costs time.
func readCache(file string) *cache {
	c := &cache{now: map[string]string{}, clock: time.Now}
	if data, err := regular.ReadFile(file, regular.State); err != nil || json.Unmarshal(data, &c.before) != nil {
		c.before = nil
	}
	return c
}

func (c *cache) write(file string) error {
	if maps.Equal(c.before, c.now) {
		return nil
	}
	data, err := json.MarshalIndent(c.now, "", "\t")
	if err != nil {
		return err
	}
	return durable.WriteFile(file, append(data, '\n'), 0o600)
}

// sum returns the SHA-256 of a file in hexadecimal digits, and its size in bytes.
func (c *cache) sum(in io.Reader) (sum string, size int64, err error) {
	key, size, err := identity(in, c.clock())
	if err != nil {
		return "", 0, err
	}
	if sum := c.before[key]; key != "" && len(sum) == hex.EncodedLen(sha256.Size) {
		c.now[key] = sum
		return sum, size, nil
	}
	hash := sha256.New()
	if size, err = io.Copy(hash, in); err != nil {
		return "", 0, err
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	if after, _, err := identity(in, c.clock()); err != nil {
		return "", 0, err
	} else if key != "" && after == key {
		c.now[key] = sum
	}
	return sum, size, nil
}

// identity returns the key of a file that has not changed for a while, or "". FAT has
// no keys: its times are whole seconds, and its inode numbers change with each mount.
func identity(in io.Reader, now time.Time) (key string, size int64, err error) {
	file, ok := in.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return "", 0, nil
	}
	info, err := file.Stat()
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, errors.New("not a regular file")
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	changed := time.Time{}
	if ok {
		changed = time.Unix(stat.Ctim.Unix())
	}
	if !ok || changed.Nanosecond() == 0 || changed.After(now.Add(-settled)) {
		return "", info.Size(), nil
	}
	return fmt.Sprintf("%d %d %d %d", stat.Ino, info.Size(), info.ModTime().UnixNano(), changed.UnixNano()), info.Size(), nil
}
