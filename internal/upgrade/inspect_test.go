package upgrade

import (
	"os"
	"path/filepath"
	"testing"
)

// rootWith makes a root file system with these files.
func rootWith(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func stanza(name, status string) string {
	return "Package: " + name + "\nStatus: " + status + "\nArchitecture: all\nVersion: 1.0\n\n"
}

func TestCheckPackages(t *testing.T) {
	const (
		installed  = "install ok installed"
		unpacked   = "install ok unpacked"
		configured = "install ok half-configured"
		toGo       = "deinstall ok installed"
	)
	for _, tt := range []struct{ name, before, after, want string }{
		{"all well", stanza("a", installed), stanza("a", installed) + stanza("b", installed), ""},
		{"half configured", stanza("a", installed), stanza("a", configured), "not whole: a (half-configured)"},
		{"was so before", stanza("a", unpacked), stanza("a", configured), ""},
		{"not removed as planned", stanza("a", installed), stanza("a", toGo), "not whole: a (installed)"},
		{"removed", stanza("a", toGo), stanza("a", "deinstall ok config-files"), ""},
		{"many", stanza("a", installed),
			stanza("g", unpacked) + stanza("f", unpacked) + stanza("e", unpacked) + stanza("d", unpacked) +
				stanza("c", unpacked) + stanza("b", unpacked) + stanza("a", unpacked),
			"not whole: a (unpacked), b (unpacked), c (unpacked), d (unpacked), e (unpacked), and 2 more"},
	} {
		base := rootWith(t, map[string]string{"var/lib/dpkg/status": tt.before})
		root := rootWith(t, map[string]string{"var/lib/dpkg/status": tt.after})
		got, err := checkPackages(base, root)
		if err != nil || got != tt.want {
			t.Errorf("%s: checkPackages = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if _, err := checkPackages(t.TempDir(), t.TempDir()); err == nil {
		t.Error("checkPackages without a database is no error")
	}
}

func TestCheckKernels(t *testing.T) {
	kernel := func(version string, initrd, modules bool) map[string]string {
		files := map[string]string{"boot/vmlinuz-" + version: "kernel"}
		if initrd {
			files["boot/initrd.img-"+version] = "initrd"
		}
		if modules {
			files["lib/modules/"+version+"/modules.dep"] = "x"
		}
		return files
	}
	both := func(a, b map[string]string) map[string]string {
		all := map[string]string{}
		for _, files := range []map[string]string{a, b} {
			for name, content := range files {
				all[name] = content
			}
		}
		return all
	}
	old := kernel("6.1", true, true)
	for _, tt := range []struct {
		name          string
		before, after map[string]string
		healthy       bool
	}{
		{"none", nil, nil, true},
		{"a whole one more", old, both(old, kernel("6.12", true, true)), true},
		{"one more without an initrd", old, both(old, kernel("6.12", false, true)), false},
		{"one more without modules", old, both(old, kernel("6.12", true, false)), false},
		{"the old one lost its initrd", old, kernel("6.1", false, true), false},
		{"was so before", kernel("6.1", false, true), kernel("6.1", false, true), true},
		{"none has an initrd here", kernel("6.1", false, true), kernel("6.12", false, true), true},
		{"the first one, without an initrd", nil, kernel("6.12", false, true), false},
	} {
		trouble, err := checkKernels(rootWith(t, tt.before), rootWith(t, tt.after))
		if err != nil || (trouble == "") != tt.healthy {
			t.Errorf("%s: checkKernels = %q, %v, want it healthy: %v", tt.name, trouble, err, tt.healthy)
		}
	}
}
