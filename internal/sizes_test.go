package internal_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The limits of a package's size. Tests do not count.
const (
	mostMethods = 25   // of a type
	mostLines   = 2500 // of a package
)

// oversized lists the packages and types that exceed a limit: their own limit, and the
// reason.
var oversized = map[string]struct {
	most   int
	reason string
}{
	"internal/cli":                  {5800, "one file for each verb, and the tables and JSON that the verbs print"},
	"internal/cli.App":              {135, "one method or a few for each verb"},
	"internal/boot/setup":           {4200, "one step, with its undo and its bounds, for each way in which Debian boots"},
	"internal/boot/setup.Installer": {90, "the handlers of these steps"},
	"internal/share.Shares":         {85, "the handlers of the steps that change a share"},
	"internal/store/btrfs":          {3700, "the readers of btrfs's trees have no use without the store"},
	"internal/store/btrfs.Store":    {60, "the methods of store.Store and of its optional interfaces"},
	"internal/store/fake.Store":     {45, "the same"},
	"internal/be":                   {3400, "the registry, its recovery and the bounds of recovery share unexported rules"},
	"internal/be.Registry":          {85, "the one interface of all users of environments, and the handlers of its steps"},
	"internal/be.Build":             {30, "the steps of a build"},
	"internal/activation.Activator": {40, "the transitions of a trial; most are a few lines"},
	"internal/rootfs":               {3200, "all access to a root that is not running, with one set of rules for links"},
	"internal/rootfs.Root":          {30, "the same"},
	"internal/rootfs.Changer":       {40, "the same"},
	"internal/sandbox":              {2900, "the walls of the sandbox share one specification"},
	"internal/sandbox.assembler":    {35, "one method for each kind of mount"},
	"internal/merge":                {3050, "one file for each format that is merged"},
	"internal/merge.planner":        {30, "the rules of the merge"},
}

// measure returns the lines of a package, and the number of methods of each type.
func measure(t *testing.T, p *build.Package) (lines int, methods map[string]int, literals []string) {
	t.Helper()
	methods = map[string]int{}
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		data, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(data), "\n")
		file, err := parser.ParseFile(token.NewFileSet(), name, data, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil {
				methods[receiver(f.Recv.List[0].Type)]++
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				literals = append(literals, strings.Trim(l.Value, "\"`"))
			}
			return true
		})
	}
	return lines, methods, literals
}

// receiver returns the name of a receiver's type.
func receiver(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return fmt.Sprint(expr)
}

// sizes returns the lines of packages and the methods of types that exceed a limit.
func sizes(t *testing.T, all map[string]*build.Package) (found map[string]int) {
	t.Helper()
	found = map[string]int{}
	for path, p := range all {
		lines, methods, _ := measure(t, p)
		if lines > mostLines {
			found[path] = lines
		}
		for name, n := range methods {
			if n > mostMethods {
				found[path+"."+name] = n
			}
		}
	}
	return found
}

func TestPackagesAndTypesAreSmall(t *testing.T) {
	found := sizes(t, packages(t))
	for what, size := range found {
		if size > oversized[what].most {
			t.Errorf("%s has %d lines or methods; the limit is %d, or %d and %d without an exception", what, size, oversized[what].most, mostLines, mostMethods)
		}
	}
	for what := range oversized {
		if found[what] == 0 {
			t.Errorf("%s is in the table of oversized packages and types, but exceeds no limit", what)
		}
	}
}

// systemdTools are the programs that only package systemd runs.
var systemdTools = []string{"systemctl", "systemd-run", "journalctl", "loginctl"}

// runsSystemd returns the packages whose source contains the name of one of systemd's
// tools.
func runsSystemd(t *testing.T, all map[string]*build.Package) (found []string) {
	t.Helper()
	for path, p := range all {
		_, _, literals := measure(t, p)
		for _, tool := range systemdTools {
			if slices.Contains(literals, tool) {
				found = append(found, path+" runs "+tool)
			}
		}
	}
	return found
}

func TestOnlyOnePackageRunsSystemd(t *testing.T) {
	for _, what := range runsSystemd(t, packages(t)) {
		if !strings.HasPrefix(what, "internal/systemd ") {
			t.Errorf("%s; add a function to internal/systemd instead", what)
		}
	}
}

func TestLimitsAreChecked(t *testing.T) {
	dir := t.TempDir()
	var methods strings.Builder
	for i := range mostMethods + 1 {
		fmt.Fprintf(&methods, "func (x *T) m%d() {}\n", i)
	}
	for name, text := range map[string]string{
		"large.go":   "package large\n" + strings.Repeat("\n", mostLines),
		"methods.go": "package large\ntype T struct{}\n" + methods.String(),
		"systemd.go": "package large\nvar tool = \"loginctl\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := build.Default.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*build.Package{"large": p}
	if found := sizes(t, all); found["large"] <= mostLines || found["large.T"] != mostMethods+1 || len(found) != 2 {
		t.Errorf("found %v, want a large package and a large type", found)
	}
	if found := runsSystemd(t, all); !slices.Equal(found, []string{"large runs loginctl"}) {
		t.Errorf("found %q, want a package that runs loginctl", found)
	}
}
