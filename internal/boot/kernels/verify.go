package kernels

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/regular"
)

// Verify reads the copies of an entry that Put returned, and compares them with their
// names: a file system that a loader or another operating system writes is easily
// damaged.
func (s Store) Verify(entry boot.Entry) error {
	for _, file := range []string{entry.Kernel, entry.Initrd} {
		if file == "" {
			continue
		}
		if err := s.verify(path.Base(file)); err != nil {
			return err
		}
	}
	return nil
}

func (s Store) verify(name string) error {
	in, err := regular.Open(s.file(name), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer in.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, in); err != nil {
		return err
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); !strings.HasPrefix(name, sum[:16]+"-") {
		return fmt.Errorf("%s is damaged; remove it, and the next change of the menu copies it again", s.file(name))
	}
	return nil
}
