// Package internal_test checks rules about all packages: their layers, imports, names
// and sizes.
package internal_test

import (
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/apt-be/apt-be"

// readLayers reads the layers of layers.txt, from the top down.
func readLayers(t *testing.T) (layers [][]string) {
	t.Helper()
	data, err := os.ReadFile("layers.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] == "#":
		case fields[0] == "=":
			layers = append(layers, nil)
		default:
			layers[len(layers)-1] = append(layers[len(layers)-1], fields[0])
		}
	}
	return layers
}

// only lists the packages that alone may import a module or package.
var only = map[string][]string{
	"github.com/containerd/btrfs/":       {"internal/store/btrfs"},
	"C":                                  {"internal/store/btrfs"},
	"github.com/knqyf263/go-deb-version": {"internal/pkgdb"},
	"pault.ag/go/debian/":                {"internal/pkgdb"},
	"github.com/spf13/cobra":             {"internal/cli"},
	// Diagnostics: the domain packages print nothing, and return errors.
	"github.com/sirupsen/logrus": {"cmd/apt-be", "internal/cli", "internal/upgrade", "internal/inside", "internal/report", "internal/catchup", "internal/systemd", "internal/lifecycle"},
	// Only tests use these packages.
	module + "/internal/store/fake":          {"internal/be/betest"},
	module + "/internal/be/betest":           {},
	module + "/internal/store/storetest":     {},
	module + "/internal/boot/boottest":       {},
	module + "/internal/seccomp/seccomptest": {},
	"testing":                                {"internal/store/storetest", "internal/be/betest"},
}

// noMachine are packages that touch the machine only through their parameters.
// machinery are the imports that they may not have.
var (
	noMachine = []string{"internal/frontend", "internal/be", "internal/merge", "internal/fstab", "internal/ui"}
	machinery = []string{"os/exec", "syscall", "golang.org/x/sys/", "net", "C"}
)

// packages returns the product's packages, without tests, by path from the repository's
// root.
func packages(t *testing.T) map[string]*build.Package {
	t.Helper()
	context := build.Default
	context.CgoEnabled = true
	found := map[string]*build.Package{}
	for _, top := range []string{"cmd", "internal", "aptconf"} {
		err := filepath.WalkDir(filepath.Join("..", top), func(dir string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return err
			}
			if entry.Name() == "testdata" {
				return fs.SkipDir
			}
			p, err := context.ImportDir(dir, 0)
			if _, none := err.(*build.NoGoError); none {
				return nil
			}
			if err != nil || len(p.GoFiles)+len(p.CgoFiles) == 0 {
				return err
			}
			path, err := filepath.Rel("..", dir)
			found[path] = p
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 15 {
		t.Fatalf("there are only %d packages: is this the right place?", len(found))
	}
	return found
}

// upward returns the imports of a package that are not in lower layers.
func upward(layers [][]string, path string, imports []string) (wrong []string) {
	layerOf := func(path string) int {
		return slices.IndexFunc(layers, func(layer []string) bool { return slices.Contains(layer, path) })
	}
	from := layerOf(path)
	if from < 0 {
		return []string{path + " is in no layer"}
	}
	for _, imported := range imports {
		inner, ok := strings.CutPrefix(imported, module+"/")
		if ok && layerOf(inner) <= from {
			wrong = append(wrong, path+" imports "+inner+", which is not below it")
		}
	}
	return wrong
}

func TestImportsPointDown(t *testing.T) {
	layers, all := readLayers(t), packages(t)
	for path, p := range all {
		for _, wrong := range upward(layers, path, p.Imports) {
			t.Error(wrong)
		}
	}
	for _, path := range slices.Concat(layers...) {
		if all[path] == nil {
			t.Errorf("layers.txt lists %s, which does not exist", path)
		}
	}
}

func TestUpwardImportsAreFound(t *testing.T) {
	layers := [][]string{{"top"}, {"middle", "beside"}, {"bottom"}}
	for path, want := range map[string]int{"top": 0, "middle": 2, "bottom": 3, "elsewhere": 1} {
		imports := []string{"os", module + "/middle", module + "/beside", module + "/bottom"}
		if path == "top" {
			imports = append(imports[:1], module+"/middle", module+"/bottom")
		}
		if got := upward(layers, path, imports); len(got) != want {
			t.Errorf("%s: %q, want %d", path, got, want)
		}
	}
}

// matches reports whether an import is the given package, or, if meant ends with a
// slash, is below it.
func matches(imported, meant string) bool {
	return imported == meant || strings.HasSuffix(meant, "/") && strings.HasPrefix(imported, meant)
}

func TestRestrictedImports(t *testing.T) {
	for path, p := range packages(t) {
		for _, imported := range p.Imports {
			for meant, who := range only {
				if matches(imported, meant) && !slices.Contains(who, path) {
					t.Errorf("%s imports %s, which is for %q", path, imported, who)
				}
			}
			if !slices.Contains(noMachine, path) {
				continue
			}
			for _, meant := range machinery {
				if matches(imported, meant) {
					t.Errorf("%s imports %s, and should not touch a machine", path, imported)
				}
			}
		}
	}
}

// Each of the four required modules is used in its intended package.
func TestRequiredModulesAreInUse(t *testing.T) {
	all := packages(t)
	for path, wanted := range map[string][]string{
		"internal/store/btrfs": {"github.com/containerd/btrfs/v2"},
		"internal/pkgdb":       {"github.com/knqyf263/go-deb-version", "pault.ag/go/debian/control"},
		"internal/cli":         {"github.com/sirupsen/logrus"},
	} {
		for _, want := range wanted {
			if !slices.Contains(all[path].Imports, want) {
				t.Errorf("%s does not import %s", path, want)
			}
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	for path, p := range packages(t) {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command " + filepath.Base(path) + " "
		}
		var docs []string
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				docs = append(docs, file.Doc.Text())
			}
		}
		if len(docs) != 1 || !strings.HasPrefix(docs[0], want) {
			t.Errorf("%s has the doc comments %q, want one that begins with %q", path, docs, want)
		}
	}
}

func TestFilesAreSmall(t *testing.T) {
	const most = 400 // lines
	for path, p := range packages(t) {
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.TestGoFiles, p.XTestGoFiles) {
			data, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if lines := strings.Count(string(data), "\n"); lines > most {
				t.Errorf("%s/%s has %d lines, more than %d", path, name, lines, most)
			}
		}
	}
}
