package lifecycle

import (
	"os"
	"strings"
	"testing"
)

// markdown returns the rows of the README's table.
func markdown() string {
	var text strings.Builder
	for _, t := range table {
		var from, steps, failed []string
		for _, s := range t.From {
			from = append(from, string(s))
		}
		for _, s := range t.Steps {
			steps = append(steps, s.Name)
		}
		for _, s := range t.OnError {
			failed = append(failed, s.Name)
		}
		done, to := strings.Join(steps, "; "), string(t.To)
		if len(failed) > 0 {
			done += " [" + strings.Join(failed, "; ") + "]"
		}
		if t.To == Same {
			to = "as before"
		}
		text.WriteString("| " + strings.Join(from, ", ") + " | " + string(t.Event) + " | " + done + " | " + to + " |\n")
	}
	return text.String()
}

// The README has the table of the package. UPDATE_README=1 writes it.
func TestREADMEHasTheTable(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const head = "|---|---|---|---|\n"
	before, _, found := strings.Cut(string(page), head)
	want := before + head + markdown()
	if !found || string(page) != want {
		if os.Getenv("UPDATE_README") != "" {
			if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Error("README.md differs from table.go: run UPDATE_README=1 go test ./internal/lifecycle")
	}
}
