package aptconf

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOnlyShipped(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  bool
	}{
		"as shipped":          {map[string]string{"apt.conf.d/50apt-be": string(asShipped), "apt.conf.d/70debconf": "DPkg::Options {\"x\";};\n"}, true},
		"with an apt.conf":    {map[string]string{"apt.conf.d/50apt-be": string(asShipped), "apt.conf": "APT::Get::Assume-Yes \"no\";\n"}, true},
		"edited":              {map[string]string{"apt.conf.d/50apt-be": string(asShipped) + "\n"}, false},
		"removed":             {map[string]string{"apt.conf.d/70debconf": ""}, false},
		"set in another file": {map[string]string{"apt.conf.d/50apt-be": string(asShipped), "apt.conf.d/99local": "APT-BE { Redirect { Commands { \"install\"; }; }; };\n"}, false},
		"set in apt.conf":     {map[string]string{"apt.conf.d/50apt-be": string(asShipped), "apt.conf": "Apt-Be::Redirect \"no\";\n"}, false},
		"another file named":  {map[string]string{"apt.conf.d/50apt-be": string(asShipped), "apt.conf.d/99local": "#include \"/srv/apt.conf\";\n"}, false},
		"another apt.conf":    {map[string]string{"apt.conf.d/50apt-be": string(asShipped), "apt.conf": "Dir { Etc { Main \"/srv/apt.conf\"; }; };\n"}, false},
		"words like that":     {map[string]string{"apt.conf.d/50apt-be": string(asShipped), "apt.conf.d/20listchanges": "Dir::Etc::apt-listchanges-main \"x\"; // the maintainer's, \"main\"\n"}, true},
		"in one line":         {map[string]string{"apt.conf.d/50apt-be": string(asShipped), "apt.conf.d/a": "Dir::Etc::main \"/srv/apt.conf\";\n"}, false},
		"none":                {nil, false},
	} {
		dir := t.TempDir()
		for file, content := range c.files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := OnlyShipped(dir); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "apt.conf.d/50apt-be"), 0o755); err != nil {
		t.Fatal(err)
	}
	if OnlyShipped(dir) {
		t.Error("a file that can't be read is none that sets nothing")
	}
}
