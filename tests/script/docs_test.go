package script

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/cli"
	"github.com/apt-be/apt-be/tests/docs"
)

// readDocuments returns the root of the repository and its documents.
func readDocuments(t *testing.T) (string, []docs.Document) {
	t.Helper()
	root, err := docs.Root()
	if err != nil {
		t.Fatal(err)
	}
	documents, err := docs.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) < 15 {
		t.Fatalf("there are only %d documents", len(documents))
	}
	return root, documents
}

// TestDocumentedCommandsExist checks the commands, paths and links of all documents.
func TestDocumentedCommandsExist(t *testing.T) {
	root, documents := readDocuments(t)
	checker := docs.Checker{Root: root, AptBe: func() *cobra.Command {
		log := logrus.New()
		log.SetOutput(io.Discard)
		return cli.NewCommand(&cli.App{Stdout: io.Discard, Stderr: io.Discard, Log: log, Version: "test"})
	}}
	for _, d := range documents {
		for _, c := range d.Commands {
			if c.Typed || docs.IsCommand(c.Text) {
				if err := checker.Check(c); err != nil {
					t.Error(err)
				}
			}
			if err := checker.CheckPath(c); err != nil {
				t.Error(err)
			}
		}
		for _, link := range d.Links {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(d.Name), link)); err != nil {
				t.Errorf("%s: a broken link: %v", d.Name, err)
			}
		}
	}
}
