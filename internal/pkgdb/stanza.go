package pkgdb

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"pault.ag/go/debian/control"
)

// eachStanza calls do with every paragraph of a file in deb822 format, reduced to the
// named fields. Field names are compared without case, as in dpkg, and do gets them as
// written in fields.
func eachStanza(raw []byte, fields []string, do func(control.Paragraph) error) error {
	reduced, err := reduce(raw, fields)
	if err != nil {
		return err
	}
	reader, err := control.NewParagraphReader(bytes.NewReader(reduced), nil)
	if err != nil {
		return err
	}
	for {
		paragraph, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(*paragraph); err != nil {
			return err
		}
	}
}

// reduce keeps only the first lines of the named fields and the blank lines between
// paragraphs. A status file consists mostly of descriptions and conffiles, which the
// paragraph reader would join line by line, in quadratic time.
func reduce(raw []byte, fields []string) ([]byte, error) {
	reduced := make([]byte, 0, len(raw)/8)
	for number := 1; len(raw) > 0; number++ {
		var line []byte
		line, raw, _ = bytes.Cut(raw, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			reduced = append(reduced, '\n')
			continue
		}
		if line[0] == ' ' || line[0] == '\t' || line[0] == '#' {
			continue
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			return nil, fmt.Errorf("line %d is not a field: %.40q", number, line)
		}
		for _, field := range fields {
			// The comparison of lengths comes first because this is the inner loop.
			if len(name) == len(field) && strings.EqualFold(string(name), field) {
				reduced = append(reduced, field...)
				reduced = append(reduced, ':', ' ')
				reduced = append(reduced, value...)
				reduced = append(reduced, '\n')
				break
			}
		}
	}
	return reduced, nil
}
