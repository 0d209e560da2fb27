package pkgdb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"pault.ag/go/debian/control"
)

// eachStanza calls do with every paragraph of a file in deb822 format. The paragraphs
// lack continuation lines, such as those of descriptions, which no caller needs: the
// library appends each of them to a copy of the value so far, so that a file of many
// such lines, which a package's script can write, would take hours.
func eachStanza(raw []byte, do func(control.Paragraph) error) error {
	if bytes.HasPrefix(raw, []byte("-----BEGIN PGP ")) { // the library would read the signed text
		return errors.New("it has a signature")
	}
	reader, err := control.NewParagraphReader(bytes.NewReader(withoutContinuations(raw)), nil)
	if err != nil {
		return err
	}
	for {
		paragraph, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%.80s", err) // the error contains the whole line
		}
		if err := do(*paragraph); err != nil {
			return err
		}
	}
}

// withoutContinuations returns a text in deb822 format without continuation lines.
func withoutContinuations(raw []byte) []byte {
	reduced := make([]byte, 0, len(raw))
	for line := range bytes.Lines(raw) {
		if line[0] != ' ' && line[0] != '\t' {
			reduced = append(reduced, line...)
		}
	}
	return reduced
}

// field returns the value of a field. Names are compared without case, as in dpkg.
func field(p control.Paragraph, name string) (value string, found bool) {
	if value, found = p.Values[name]; found {
		return value, true
	}
	for _, key := range p.Order {
		if strings.EqualFold(key, name) {
			return p.Values[key], true
		}
	}
	return "", false
}

// eachListed calls do with the paragraphs of a repository's package list that describe
// the wanted packages, until do returns false. Such a list has about 50 MB, and apt
// waits. So it searches for the names of packages, and the library parses only the
// wanted paragraphs: parsing all of them would take three times as long.
func eachListed(list io.Reader, wanted func(pkg string) bool, do func(control.Paragraph) (more bool)) error {
	const packageField = "Package:"
	lines := bufio.NewReaderSize(list, 1<<20)
	var stanza []byte
	skip := false
	for {
		line, err := readLine(lines)
		if err != nil && err != io.EOF {
			return fmt.Errorf("cannot read a list of packages: %w", err)
		}
		if len(line) > 0 {
			if name, found := bytes.CutPrefix(line, []byte(packageField)); found && !skip {
				skip = !wanted(string(bytes.TrimSpace(name)))
			}
			if !skip {
				stanza = append(append(stanza, line...), '\n')
			}
			continue
		}
		more := true
		if !skip {
			parseErr := eachStanza(stanza, func(p control.Paragraph) error {
				more = do(p)
				return nil
			})
			if parseErr != nil {
				return fmt.Errorf("cannot read a list of packages: %w", parseErr)
			}
		}
		if err == io.EOF || !more {
			return nil
		}
		stanza, skip = stanza[:0], false
	}
}

// readLine returns a line without its end, valid until the next call. It returns the
// beginning of a line that is longer than the buffer.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		begin := bytes.Clone(line[:1<<10])
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		line = begin
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}
