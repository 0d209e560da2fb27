package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table writes rows of cells: in columns under a header, or, for scripts (-H),
// separated by tabs and without the header.
type Table struct {
	plain   bool
	out     io.Writer
	columns *tabwriter.Writer
	err     error
}

// NewTable returns a table that writes to w, usually standard output. plain is -H.
func NewTable(w io.Writer, plain bool, header ...string) *Table {
	t := &Table{plain: plain, out: w}
	if !plain {
		t.columns = tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		t.Row(header...)
	}
	return t
}

// Row adds a row. It removes tabs, line ends and control characters (see [Printable]).
// It writes an empty cell as "-", so that scripts can count columns.
func (t *Table) Row(cells ...string) {
	line := make([]string, len(cells))
	for i, cell := range cells {
		line[i] = Printable(cell)
		if strings.TrimSpace(cell) == "" {
			line[i] = "-"
		}
	}
	text := strings.Join(line, "\t") + "\n"
	w := t.out
	if !t.plain {
		w = t.columns
	}
	if _, err := io.WriteString(w, text); err != nil && t.err == nil {
		t.err = err
	}
}

// Flush writes the table. It returns the first write error.
func (t *Table) Flush() error {
	if t.columns != nil {
		if err := t.columns.Flush(); err != nil && t.err == nil {
			t.err = err
		}
	}
	if t.err != nil {
		return fmt.Errorf("cannot write the table: %w", t.err)
	}
	return nil
}

// JSON writes v, indented, with a newline at the end. Fields have the order of their
// structs, and map keys are sorted, so equal values are equal text. It escapes
// characters that a terminal may interpret, even where JSON does not require it.
func JSON(w io.Writer, v any) error {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	if err == nil {
		var out strings.Builder
		for _, r := range text.String() {
			if r != '\n' && isHarmful(r) { // only in strings, where the escape means the same
				fmt.Fprintf(&out, "\\u%04x", r)
			} else {
				out.WriteRune(r)
			}
		}
		_, err = io.WriteString(w, out.String())
	}
	if err != nil {
		return fmt.Errorf("cannot write JSON: %w", err)
	}
	return nil
}
