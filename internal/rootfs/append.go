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

// Append appends to a file of To the text that the file has in From, but not in Base.
// If From's file begins with all of To's, From's file is the result, so that text that
// both systems logged is there once.
//
// If From's file no longer begins with Base's, it was rotated or truncated. Then the
// result is To's additions to Base, followed by all of From's file. The rotated text is
// in another file.
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

// hollow reports whether a file is large and consists mostly of holes. Reading it could
// take very long, and appending it would fill the disk; any user can turn the own
// mailbox into such a file.
func hollow(f *os.File) bool {
	const large = 1 << 30
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return err == nil && st.Size > large && st.Blocks*512 < st.Size/2
}

// replaceHollow replaces To's file by From's, and keeps To's beside it.
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

// beginsAs returns the size of a root's file of that name, and whether f begins with
// its content. known is 0 if the file does not exist; then f begins with it.
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

// addedTo writes to an empty file the lines of another file that Base's file does not
// have. If the other file does not contain all of Base's lines in order, it writes all
// its lines.
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

// withoutLines copies the lines of one file that the other one does not have. It
// reports whether it found all lines of the other one, in order.
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

// piece reads a line, or the next part of a line that is too long, and nothing at the
// end. The result is valid until the next call.
func piece(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	return line, err
}

// appendTo appends the rest of a file to another one, in complete lines.
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
