package packages

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Origin is the Origin field of the archives' Release files. unattended-upgrades
// selects packages by it.
const Origin = "BT"

// archive makes a flat archive, as apt reads it from a file: source, of
// packages that are already in dir.
func archive(dir string, debs []deb) error {
	var index bytes.Buffer
	for _, d := range debs {
		data, err := os.ReadFile(filepath.Join(dir, d.file()))
		if err != nil {
			return fmt.Errorf("cannot make archive: %w", err)
		}
		fmt.Fprintf(&index, "%sFilename: ./%s\nSize: %d\nSHA256: %x\n\n", d.stanza(), d.file(), len(data), sha256.Sum256(data))
	}
	release := fmt.Sprintf("Origin: %s\nLabel: %s\nSuite: stable\nCodename: bt\nDate: %s\nArchitectures: all amd64 arm64\nSHA256:\n %x %d Packages\n",
		Origin, Origin, time.Now().UTC().Format(time.RFC1123), sha256.Sum256(index.Bytes()), index.Len())
	for name, content := range map[string]string{"Packages": index.String(), "Release": release} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("cannot make archive: %w", err)
		}
	}
	return nil
}
