package kernels

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/durable"
)

// source is a file of a boot environment with its copy.
type source struct {
	path   string // from the top level, for boot.Files
	kind   string // vmlinuz or initrd
	entry  string // the name of an entry with the file
	size   int64  // in bytes
	sum    string // SHA-256 in hexadecimal digits
	copied string // the name of the copy
}

// Put copies the files that have no copy yet, durably, and returns the entries with the
// paths of the copies for the loader. If they do not all fit, the error is
// [boot.ErrNoSpace], and nothing was changed. A missing path of an entry stays missing.
func (s Store) Put(files boot.Files, entries []boot.Entry) ([]boot.Entry, error) {
	cache := readCache(s.file(index))
	if s.clock != nil {
		cache.clock = s.clock
	}
	sources := map[string]*source{}
	var missing []*source
	for _, entry := range entries {
		for _, file := range []source{
			{path: entry.Kernel, kind: vmlinuz, entry: entry.Name},
			{path: entry.Initrd, kind: initrd, entry: entry.Name},
		} {
			if file.path == "" || sources[file.path] != nil {
				continue
			}
			if err := file.identify(files, cache); err != nil {
				return nil, fmt.Errorf("cannot read the %s of %s: %w", file.what(), file.entry, err)
			}
			sources[file.path] = &file
			same := func(other *source) bool { return other.copied == file.copied }
			if !s.has(file) && !slices.ContainsFunc(missing, same) {
				missing = append(missing, &file)
			}
		}
	}
	if err := s.copyAll(files, missing); err != nil {
		return nil, err
	}
	if err := cache.write(s.file(index)); err != nil {
		return nil, err
	}
	put := slices.Clone(entries)
	for i := range put {
		for _, file := range []*string{&put[i].Kernel, &put[i].Initrd} {
			if *file != "" {
				*file = s.loaderPath(sources[*file].copied)
			}
		}
	}
	return put, nil
}

// identify finds the checksum of a file, in the cache if possible.
func (f *source) identify(files boot.Files, cache *cache) error {
	in, err := files(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	f.sum, f.size, err = cache.sum(in)
	if f.size == 0 && err == nil {
		err = errors.New("empty file")
	}
	f.copied = f.sum[:min(len(f.sum), 16)] + "-" + f.kind
	return err
}

func (f *source) what() string {
	if f.kind == vmlinuz {
		return "kernel"
	}
	return f.kind
}

// has reports whether a copy exists. It compares the size, because a damaged file
// system may have truncated the copy.
func (s Store) has(f source) bool {
	info, err := os.Lstat(s.file(f.copied))
	return err == nil && info.Mode().IsRegular() && info.Size() == f.size
}

func (s Store) copyAll(files boot.Files, missing []*source) error {
	if len(missing) == 0 {
		return nil
	}
	if err := s.remove(func(name string) bool { return strings.HasSuffix(name, partial) }); err != nil {
		return err
	}
	if err := s.fit(missing); err != nil {
		return err
	}
	if err := os.MkdirAll(s.file(""), 0o755); err != nil {
		return err
	}
	if err := durable.SyncDir(s.Dir); err != nil {
		return err
	}
	for _, file := range missing {
		if err := s.copy(files, file); err != nil {
			return fmt.Errorf("cannot put the %s of %s on %s: %w", file.what(), file.entry, s.Dir, err)
		}
	}
	return nil
}

func (s Store) fit(missing []*source) error {
	free, block, err := s.space()
	if err != nil {
		return err
	}
	var needed int64
	var what []string
	for _, file := range missing {
		needed += roundUp(file.size, block)
		what = append(what, "the "+file.what()+" of "+file.entry)
	}
	if needed > free {
		return noSpace(fmt.Sprintf("cannot put %s on %s", strings.Join(what, " and "), s.Dir), needed, free)
	}
	return nil
}

// copy creates one copy. Only root can read it, because an initrd may contain keys.
func (s Store) copy(files boot.Files, f *source) (err error) {
	in, err := files(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	temporary := s.file(f.copied + partial)
	out, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(temporary)))
		}
	}()
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, hash), in)
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w: %w", boot.ErrNoSpace, err)
	case err != nil:
		return err
	case hex.EncodeToString(hash.Sum(nil)) != f.sum:
		changed := fmt.Errorf("%s changed while it was copied", f.path)
		return errors.Join(changed, durable.Remove(s.file(index))) // the index may be wrong
	}
	if err := os.Rename(temporary, s.file(f.copied)); err != nil {
		return err
	}
	return durable.SyncDir(s.file(""))
}
