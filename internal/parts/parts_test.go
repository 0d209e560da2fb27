package parts

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store/fake"
)

// TestOf reads the fstab of a system that does not run.
func TestOf(t *testing.T) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	st, err := fake.New(t.TempDir())
	check(err)
	for _, path := range []string{
		"@rootfs", "@rootfs/nested", "@other", "@opt", "@home", "@usr", "@srv", "@cache", "@boot", "@share/mail", "@apt-be", "@linked", "@data",
	} {
		check(st.Create(path))
	}
	write := func(name, content string) {
		t.Helper()
		check(os.MkdirAll(filepath.Dir(st.Path(name)), 0o755))
		check(os.WriteFile(st.Path(name), []byte(content), 0o644))
	}
	write("@rootfs/etc/fstab", `UUID=1 / btrfs subvol=@rootfs 0 0
UUID=1 /opt btrfs nodev,subvol=/@opt 0 0
UUID=1 /usr btrfs subvol=@usr 0 0
UUID=1 /home btrfs subvol=@home 0 0
UUID=1 /srv btrfs subvol=@srv 0 0
UUID=1 /boot btrfs subvol=@boot 0 0
UUID=1 /var/mail btrfs subvol=@share/mail 0 0
UUID=1 /var/lib/apt-be btrfs subvol=@apt-be 0 0
UUID=1 /nested btrfs subvol=@rootfs/nested 0 0
UUID=1 /gone btrfs subvol=@gone 0 0
UUID=2 /var/cache btrfs subvol=@cache 0 0
UUID=1 none btrfs subvol=@opt 0 0
UUID=1 /linked btrfs subvol=@linked 0 0
UUID=1 /mnt/data btrfs subvol=@data 0 0
/mnt/data/bt /var/bound none bind 0 0
/data /opt/data none bind 0 0
`)
	write("@rootfs/var/lib/dpkg/info/foo.list", "/.\n/home\n/home/dir\n/opt\n/opt/foo\n/opt/foo/file\n/srv\n/srv/missing\n/var/mail/box\n/boot/vmlinuz\n/linked/file\n/var/bound/file\n/var/cache/file\n")
	write("@opt/foo/file", "x")
	write("@cache/file", "x")
	write("@data/bt/file", "x")
	write("@linked/file", "x")
	check(os.MkdirAll(st.Path("@rootfs/data/linked"), 0o755))
	check(os.Symlink("data/linked", st.Path("@rootfs/linked")))
	write("@share/mail/box", "x")
	check(os.MkdirAll(st.Path("@home/dir"), 0o755))
	check(st.SetRunning("@other"))

	reg := be.NewRegistry(st, "/", func(string) (be.Identity, error) { return be.Identity{}, nil })
	rootfs, err := st.Get("@rootfs")
	check(err)
	got, err := Of(reg, be.Env{Name: "rootfs", Subvolume: rootfs})
	want := []be.Part{{Place: "/usr", Subvolume: "@usr"}, {Place: "/nested", Subvolume: "@rootfs/nested"}, {Place: "/opt", Subvolume: "@opt"},
		{Place: "/data/linked", Named: "/linked", Subvolume: "@linked"}, {Place: "/mnt/data", Subvolume: "@data"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("the parts are %+v, %v; want %+v", got, err, want)
	}

	// During a shutdown, its parts are not mounted.
	check(st.SetRunning("@rootfs"))
	known := []be.Part{{Place: "/opt", Subvolume: "@opt"}, {Place: "/var/cache", Subvolume: "@cache"}, {Place: "/was", Subvolume: "@srv"}}
	got, err = Since(reg, be.Env{Name: "rootfs", Running: true, Subvolume: rootfs}, known)
	want = []be.Part{{Place: "/nested", Subvolume: "@rootfs/nested"}, known[0], known[1]}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("unmounted, the parts are %+v, %v; want %+v", got, err, want)
	}
	known[1].Subvolume = "@none"
	if got, err := Since(reg, be.Env{Name: "rootfs", Running: true, Subvolume: rootfs}, known); err == nil {
		t.Errorf("a subvolume that is not there is part of %+v", got)
	}
	check(st.SetRunning("@other"))

	// If the package database is itself in a part that is missing, it cannot be read.
	check(os.RemoveAll(st.Path("@rootfs/var")))
	if got, err = Of(reg, be.Env{Name: "rootfs", Subvolume: rootfs}); err != nil || len(got) != 3 {
		t.Errorf("without a package database the parts are %+v, %v", got, err)
	}
	check(os.Remove(st.Path("@rootfs/etc/fstab")))
	if got, err = Of(reg, be.Env{Name: "rootfs", Subvolume: rootfs}); err != nil || got != nil {
		t.Errorf("without an fstab the parts are %+v, %v", got, err)
	}
}
