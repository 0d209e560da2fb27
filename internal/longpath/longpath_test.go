package longpath_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/longpath"
)

func TestCut(t *testing.T) {
	name := strings.Repeat("n", 255)
	for path, want := range map[string]int{
		".": 1, "etc/passwd": 10,
		strings.Repeat("d/", 127) + "f":      255,
		strings.Repeat("d/", 128) + "f":      257,
		strings.Repeat("d/", 129) + "f":      257,
		strings.Repeat("d/", 50_000) + "f":   257,
		strings.Repeat(name+"/", 12) + "f":   12*256 + 1,
		strings.Repeat(name+"/", 400) + "f":  13*256 - 1,
		strings.Repeat("ab/", 120) + name:    360 + 255,
		strings.Repeat("abcdef/", 300) + "f": 129*7 - 1,
	} {
		cut := longpath.Cut(path)
		if len(cut) != want || !strings.HasPrefix(path, cut) {
			t.Errorf("of %.40q… with %d bytes %d are left, want %d", path, len(path), len(cut), want)
		}
		if longpath.Cut(cut) != cut || longpath.Is(cut) != longpath.Is(path) {
			t.Errorf("what stands for %.40q… does not stand for itself", path)
		}
	}
}
