package redirect

import (
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store/fake"

	"os"
	"path/filepath"
	"testing"
)

// rootWith makes a root file system with the files given.
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

func TestSetRootAndIdentify(t *testing.T) {
	root := rootWith(t, map[string]string{
		"etc/fstab":          "# mine\nUUID=1 / btrfs  noatime,subvol=@rootfs 0 0\nUUID=1 /home btrfs subvol=@home 0 0\nUUID=1 /opt btrfs nodev,subvol=@opt 0 0\nUUID=1 /srv btrfs subvol=@srv 0 0\n/data/opt /opt none bind 0 0\n",
		"etc/kernel/cmdline": "root=UUID=1 ro rootflags=subvol=@rootfs quiet\n",
		"etc/os-release":     "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n",
		"boot/vmlinuz-6.12":  "kernel",
	})
	at := ""
	setRoot := func(root string) error {
		t.Helper()
		st, err := fake.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(st.Path("."), os.DirFS(root)); err != nil {
			t.Fatal(err)
		}
		if err := st.Create("opt"); err != nil {
			t.Fatal(err)
		}
		at = st.Path(".")
		return SetRoot(st, ".", "@be/new", []be.Part{{Place: "/opt"}, {Place: "/srv"}})
	}
	if err := setRoot(root); err != nil {
		t.Fatal(err)
	}
	root = at
	for name, want := range map[string]string{
		"etc/fstab":          "# mine\nUUID=1 / btrfs  noatime,subvol=@be/new 0 0\nUUID=1 /home btrfs subvol=@home 0 0\nUUID=1 /opt btrfs nodev,subvol=@be/new/opt 0 0\n/data/opt /opt none bind 0 0\n",
		"etc/kernel/cmdline": "root=UUID=1 ro rootflags=subvol=@be/new quiet\n",
	} {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
	id, err := Identify(root)
	if err != nil || id.Title != "Debian GNU/Linux 13 (trixie)" || len(id.Kernels) != 1 || id.Kernels[0].Version != "6.12" {
		t.Errorf("Identify = %+v, %v", id, err)
	}
	if err := setRoot(rootWith(t, map[string]string{"etc/fstab": "# none\n"})); err != nil {
		t.Errorf("SetRoot where no line is for the root = %v", err)
	}
	if err := setRoot(t.TempDir()); err != nil {
		t.Errorf("SetRoot where there is nothing = %v", err)
	}
	if _, err := Identify(t.TempDir()); err == nil {
		t.Error("Identify took an empty directory for a system")
	}
}
