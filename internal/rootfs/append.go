package rootfs

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// Append puts what a file has in From, and had not in Base, after what it has in
// To. Where From has all that To has, and more after it, that is it: an upgrade's log
// that the running system got too is there once.
//
// A file that does not begin any more with what it was in Base has lost that in
// From: a log was rotated, or somebody emptied it. So it is what To has added to Base,
// and all of From after that. What was moved to another file is there.
func (c *Changer) Append(name string, a merge.Attributes) error {
	there, err := c.To.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer there.Close()
	source, err := c.From.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if gone(err) {
		return c.makeFile(name, a, func(f *os.File) error { return c.addedTo(f, name, there) })
	}
	if err != nil {
		return err
	}
	defer source.Close()
	if hollow(source) || hollow(there) {
		return c.replaceHollow(name, a)
	}
	_, whole, err := beginsAs(c.To, name, source)
	if err != nil {
		return err
	}
	if whole {
		return c.makeFile(name, a, func(f *os.File) error { return reflink(f, source) })
	}
	known, continued, err := beginsAs(c.Base, name, source)
	if err != nil {
		return err
	}
	return c.makeFile(name, a, func(f *os.File) error {
		if continued {
			err = reflink(f, there)
		} else {
			err = c.addedTo(f, name, there)
		}
		if err != nil {
			return err
		}
		if _, err := source.Seek(known, io.SeekStart); err != nil {
			return err
		}
		return appendTo(f, source)
	})
}

// hollow says whether a file is large and mostly holes. To read one may take for ever,
// and to append it fills the disk; any user can make the own mail such a file.
func hollow(f *os.File) bool {
	const large = 1 << 30
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return err == nil && st.Size > large && st.Blocks*512 < st.Size/2
}

// replaceHollow has From's file be there, and what was there beside it.
func (c *Changer) replaceHollow(name string, a merge.Attributes) error {
	node, err := c.From.Node(name)
	if err != nil {
		return err
	}
	if err := c.SetAside(name); err != nil {
		return err
	}
	return c.Copy(name, node, a)
}

// beginsAs returns how much of a file is what there is in a root by that name, all
// that is there or nothing, and whether it begins with that. It does if there is
// nothing.
func beginsAs(root *Root, name string, f *os.File) (known int64, begins bool, err error) {
	before, err := root.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if gone(err) {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer before.Close()
	info, err := before.Stat()
	if err != nil {
		return 0, false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, false, err
	}
	same, err := sameContent(before, io.LimitReader(f, info.Size()))
	if err != nil || !same {
		return 0, false, err
	}
	return info.Size(), true, nil
}

// addedTo gives an empty file the lines of another one that are not in Base: all, if
// it has not got all that is there, in the same order.
func (c *Changer) addedTo(f *os.File, name string, there *os.File) error {
	known, begins, err := beginsAs(c.Base, name, there)
	if err != nil {
		return err
	}
	if begins {
		if _, err := there.Seek(known, io.SeekStart); err != nil {
			return err
		}
		_, err := io.Copy(f, there)
		return err
	}
	before, err := c.Base.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer before.Close()
	if _, err := there.Seek(0, io.SeekStart); err != nil {
		return err
	}
	all, err := withoutLines(f, there, before)
	if err != nil || all {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return reflink(f, there)
}

// withoutLines writes the lines of one file that are not those of another one, and
// says whether it found all of these in it, in their order.
func withoutLines(to io.Writer, of, without io.Reader) (all bool, err error) {
	lines, known := bufio.NewReaderSize(of, 64<<10), bufio.NewReaderSize(without, 64<<10)
	out := bufio.NewWriter(to)
	next, err := piece(known)
	if err != nil {
		return false, err
	}
	for {
		line, err := piece(lines)
		if err != nil {
			return false, err
		}
		if len(line) == 0 {
			return len(next) == 0, out.Flush()
		}
		if len(next) > 0 && bytes.Equal(bytes.TrimSuffix(line, []byte("\n")), bytes.TrimSuffix(next, []byte("\n"))) {
			if next, err = piece(known); err != nil {
				return false, err
			}
			continue
		}
		if _, err := out.Write(line); err != nil {
			return false, err
		}
	}
}

// piece reads a line, or the next part of one that does not fit, and nothing at the
// end. It is good until the next one is read.
func piece(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	return line, err
}

// appendTo puts the rest of a file after what is in another one, in lines of its own.
func appendTo(f, second *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	last := []byte{'\n'}
	if end > 0 {
		if _, err := f.ReadAt(last, end-1); err != nil {
			return err
		}
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return err
	}
	if last[0] != '\n' {
		if _, err := f.WriteString("\n"); err != nil {
			return err
		}
	}
	_, err = io.Copy(f, second)
	return err
}
