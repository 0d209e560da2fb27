package setup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/txn"
)

// stockMark is in the entries that kernel-install(8) writes: the name of its plugin, at
// the start of all entries of systemd 252 and 257.
const stockMark = "90-loaderentry.install"

// blsEntry has the relevant lines of a type #1 entry of the Boot Loader Specification.
type blsEntry struct {
	name    string // of the file
	content []byte
	version string
	files   []string // kernel and initrds, from the top level of the partition
}

func parseEntry(name string, content []byte) blsEntry {
	e := blsEntry{name: name, content: content}
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "version":
			e.version = fields[1]
		case "linux", "initrd":
			e.files = append(e.files, fields[1])
		}
	}
	return e
}

// readEntries reads the entries in a directory. With stock it reads only those of
// kernel-install.
func readEntries(dir string, stock bool) ([]blsEntry, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	if err != nil {
		return nil, err
	}
	var all []blsEntry
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if !stock || strings.Contains(string(content), stockMark) {
			all = append(all, parseEntry(filepath.Base(file), content))
		}
	}
	return all, nil
}

func entriesDir(esp string) string { return filepath.Join(esp, "loader/entries") }

// moveStockEntries saves the entries of kernel-install and removes them from the menu.
// Their kernels stay until the setup is complete.
func (i *Installer) moveStockEntries(_ context.Context, a txn.Args) error {
	dir := entriesDir(i.Host.path(a["esp"]))
	entries, err := readEntries(dir, true)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(i.path(savedDir), 0o700); err != nil {
		return err
	}
	var files []string
	for _, e := range entries {
		if err := durable.WriteFile(filepath.Join(i.path(savedDir), e.name), e.content, 0o600); err != nil {
			return err
		}
		files = append(files, filepath.Join(dir, e.name))
	}
	return removeAll(files...)
}

// restoreStockEntries restores the entries of kernel-install. If the files of an entry
// are missing, or a kernel is new, kernel-install writes a new entry.
func (i *Installer) restoreStockEntries(ctx context.Context, a txn.Args) error {
	esp := i.Host.path(a["esp"])
	saved, err := readEntries(i.path(savedDir), true)
	if err != nil {
		return err
	}
	there, err := readEntries(entriesDir(esp), true)
	if err != nil {
		return err
	}
	whole := slices.DeleteFunc(slices.Concat(saved, there), func(e blsEntry) bool { return !e.whole(esp) })
	images, err := filepath.Glob(i.Host.path("boot/vmlinuz-*"))
	if err != nil {
		return err
	}
	for _, image := range images {
		version := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		if slices.ContainsFunc(whole, func(e blsEntry) bool { return e.version == version }) {
			continue
		}
		args := []string{"add", version, image}
		if initrd := i.Host.path("boot/initrd.img-" + version); isFile(initrd) {
			args = append(args, initrd)
		}
		if _, err := i.Host.Run(ctx, "kernel-install", args...); err != nil {
			return err
		}
	}
	// Their parameters may differ from those of kernel-install, which are those of this
	// boot.
	for _, e := range saved {
		if !e.whole(esp) {
			continue
		}
		if err := durable.WriteFile(filepath.Join(entriesDir(esp), e.name), e.content, 0o644); err != nil {
			return err
		}
	}
	if there, err = readEntries(entriesDir(esp), true); err != nil {
		return err
	}
	if !slices.ContainsFunc(there, func(e blsEntry) bool { return e.whole(esp) }) {
		return fmt.Errorf("kernel-install made no entry for any kernel in /boot")
	}
	return nil
}

func (e blsEntry) whole(esp string) bool {
	return len(e.files) > 0 && !slices.ContainsFunc(e.files, func(f string) bool { return !isFile(filepath.Join(esp, f)) })
}

func isFile(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular()
}

// removeStockKernels removes kernels that no entry names. The directory of this
// system's kernels stays: kernel-install recognizes its layout by it.
func (i *Installer) removeStockKernels(m Layout) error {
	esp := i.Host.path(m.ESP.Dir)
	saved, err := readEntries(i.path(savedDir), true)
	if err != nil {
		return err
	}
	left, err := readEntries(entriesDir(esp), false)
	if err != nil {
		return err
	}
	for _, e := range saved {
		for _, file := range e.files {
			if slices.ContainsFunc(left, func(l blsEntry) bool { return slices.Contains(l.files, file) }) {
				continue
			}
			if err := durable.Remove(filepath.Join(esp, file)); err != nil {
				return err
			}
			_ = os.Remove(filepath.Dir(filepath.Join(esp, file))) // if it is empty
		}
	}
	return nil
}
