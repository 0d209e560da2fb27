package rootconf

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store/fake"
)

// rootWith makes a root file system with these files.
func rootWith(t *testing.T, files map[string]string) string {
	t.Helper()
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	root := t.TempDir()
	if err := os.CopyFS(root, tree); err != nil {
		t.Fatal(err)
	}
	return root
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
