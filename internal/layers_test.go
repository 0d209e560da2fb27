// Package internal_test keeps the layers of docs/architecture.md.
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

// layers are the packages of the product from the top down: each may import
// those of the layers below its own, and none of its own. A package that is
// not here is one that nobody has given a layer.
var layers = [][]string{
	{"cmd/apt-be"},
	{"internal/cli"},
	{"internal/catchup"},
	{"internal/redirect", "internal/boot/setup", "internal/window", "internal/drift", "internal/share"},
	{"internal/host", "internal/boot/method"},
	{"internal/activation", "internal/boot/grub", "internal/boot/sdboot", "internal/boot/kexec", "internal/boot/softreboot", "internal/health"},
	{"internal/boot/kernels", "internal/boot/initrd", "internal/boot/boottest"},
	{"internal/boot", "internal/be/betest", "internal/diskspace", "internal/parts", "internal/debcache"},
	{"internal/be", "internal/pkgdb"},
	{"internal/txn", "internal/overlay"},
	{"internal/store/btrfs", "internal/store/fake", "internal/store/storetest", "internal/sandbox", "internal/mounts", "internal/procs", "internal/dpkglock", "internal/watchdog", "internal/boot/efivar", "internal/dedupe", "internal/rootfs", "internal/divert", "internal/rebootrequired"},
	{"internal/store", "internal/merge", "internal/fstab", "internal/inroot", "internal/durable", "internal/ui", "internal/predecompress", "internal/nosync", "internal/mailspool", "internal/swapfile", "internal/syscalls", "internal/seccomp/seccomptest", "internal/cgroup", "internal/terminal", "internal/streams", "aptconf"},
	{"internal/longpath", "internal/openat2", "internal/parallel", "internal/regular", "internal/seccomp"},
}

// only says who may import what is for few.
var only = map[string][]string{
	"github.com/containerd/btrfs/":       {"internal/store/btrfs"},
	"C":                                  {"internal/store/btrfs"},
	"github.com/knqyf263/go-deb-version": {"internal/pkgdb"},
	"pault.ag/go/debian/":                {"internal/pkgdb"},
	"github.com/spf13/cobra":             {"internal/cli"},
	// Diagnostics: the domain has none, and returns errors.
	"github.com/sirupsen/logrus": {"internal/cli", "internal/redirect", "internal/window"},
	// Only tests have a use for it.
	module + "/internal/store/fake":          {"internal/be/betest"},
	module + "/internal/be/betest":           {},
	module + "/internal/store/storetest":     {},
	module + "/internal/boot/boottest":       {},
	module + "/internal/seccomp/seccomptest": {},
	"testing":                                {"internal/store/storetest", "internal/be/betest"},
}

// noMachine are packages that touch a machine through what they are given
// alone, and machinery is what they do without.
var (
	noMachine = []string{"internal/be", "internal/merge", "internal/fstab", "internal/ui"}
	machinery = []string{"os/exec", "syscall", "golang.org/x/sys/", "net", "C"}
)

// packages are those of the product that there are, by path from the
// repository's root, without their tests.
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

func layerOf(path string) int {
	return slices.IndexFunc(layers, func(layer []string) bool { return slices.Contains(layer, path) })
}

func TestArrowsPointDown(t *testing.T) {
	for path, p := range packages(t) {
		from := layerOf(path)
		if from < 0 {
			t.Errorf("%s is in no layer", path)
			continue
		}
		for _, imported := range p.Imports {
			inner, ok := strings.CutPrefix(imported, module+"/")
			if !ok {
				continue
			}
			if to := layerOf(inner); to <= from {
				t.Errorf("%s imports %s, which is not below it", path, inner)
			}
		}
	}
}

// matches says whether an import is the one meant, or, with a slash at the
// end, below it.
func matches(imported, meant string) bool {
	return imported == meant || strings.HasSuffix(meant, "/") && strings.HasPrefix(imported, meant)
}

func TestWhatFewMayImport(t *testing.T) {
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

// The four modules that are required are in use where they belong.
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
