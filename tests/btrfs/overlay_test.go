package btrfs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/overlay"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// overlayLive creates the files of a file system, and overlayScripts are changes in a
// sandbox.
const (
	overlayLive = `mkdir -p same/deep changed deleted replaced tree/sub; echo 1 >same/deep/file; echo 1 >changed/file
echo 1 >changed/touched; echo 1 >deleted/file; echo 1 >replaced/old; echo 1 >tree/file; echo 1 >tree/sub/file
echo 1 >gone-since; ln -s /etc link; echo 1 >mode; echo 1 >becomes-dir`
	overlayScripts = `mkdir -p new/deep; echo new >new/deep/file; ln new/deep/file new/same; ln -s nowhere new/link
echo more >>changed/file; touch changed/touched; echo new >same/deep/added; rm -r deleted
rm -r replaced; mkdir replaced; echo new >replaced/fresh; echo more >>gone-since; chmod 600 mode
mkfifo new/pipe; chown 33:44 new/deep; chown 1:2 new/deep/file; chmod 4755 new/deep/file; mv tree moved
rm becomes-dir; mkdir becomes-dir; echo new >becomes-dir/file; mkdir empty; mkdir clash; echo new >clash/file
echo gone >brief; rm brief`
	// Changes of services meanwhile: new links must not be followed.
	overlayMeanwhile = `rm gone-since; ln -s /tmp clash; echo live >same/deep/live`
)

// The findings in a real overlay, for each lower file system: added files are added
// once, and all other changes are reported.
func TestOverlayAdditions(t *testing.T) {
	for _, kind := range []string{"btrfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			target, upper := t.TempDir(), t.TempDir()
			loop.Create(t, storeImageSize).Mount(t, upper, "")
			if kind == "ext4" {
				loop.CreateBy(t, 64<<20, "mkfs.ext4", "-q").Mount(t, target, "")
				storeMust(t, os.Remove(filepath.Join(target, "lost+found")))
			} else {
				loop.Create(t, storeImageSize).Mount(t, target, "")
			}
			run := func(dir, script string) {
				t.Helper()
				cmd := exec.Command("sh", "-ec", script)
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", script, err, out)
				}
			}
			run(target, overlayLive)
			scratch := filepath.Join(upper, "scratch")
			layer := filepath.Join(scratch, "%2Fsrv%2Fdata")
			accounts := filepath.Join(upper, "root")
			for _, dir := range []string{layer + "/upper", layer + "/work", accounts + "/etc", scratch + "/%2Fboot%2Fefi/copy"} {
				storeMust(t, os.MkdirAll(dir, 0o755))
			}
			storeMust(t, os.WriteFile(accounts+"/etc/passwd", []byte("root:x:0:0::/:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n"), 0o644))
			merged := t.TempDir()
			options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", target, layer, layer)
			storeMust(t, unix.Mount("overlay", merged, "overlay", unix.MS_NODEV|unix.MS_NOSUID, options))
			t.Cleanup(func() { _ = unix.Unmount(merged, 0) })
			run(merged, overlayScripts)
			storeMust(t, unix.Unmount(merged, 0))
			run(target, overlayMeanwhile)

			layers, err := overlay.Layers(scratch, "/", accounts)
			if err != nil || len(layers) != 1 || layers[0].Mount != "/srv/data" || layers[0].Target != "/srv/data" {
				t.Fatalf("Layers = %+v, %v", layers, err)
			}
			l := layers[0]
			l.Target = target
			added := []string{
				"empty", "moved", "moved/file", "moved/sub", "moved/sub/file",
				"new", "new/deep", "new/deep/file", "new/link", "new/pipe", "new/same", "replaced/fresh", "same/deep/added",
			}
			reported := []overlay.Report{
				{Path: "/srv/data/becomes-dir", Outcome: overlay.Changed},
				{Path: "/srv/data/changed/file", Outcome: overlay.Changed},
				{Path: "/srv/data/clash", Outcome: overlay.Changed},
				{Path: "/srv/data/deleted", Outcome: overlay.Deleted},
				{Path: "/srv/data/gone-since", Outcome: overlay.Changed},
				{Path: "/srv/data/mode", Outcome: overlay.Changed},
				{Path: "/srv/data/replaced", Outcome: overlay.Replaced},
				{Path: "/srv/data/tree", Outcome: overlay.Deleted},
			}
			for i := range added {
				added[i] = "/srv/data/" + added[i]
			}
			found, err := l.Find()
			storeMust(t, err)
			if diff := cmp.Diff(added, found.Added); diff != "" {
				t.Errorf("added (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(reported, found.Reported); diff != "" {
				t.Errorf("reported (-want +got):\n%s", diff)
			}
			if _, err := os.Lstat(target + "/new"); err == nil {
				t.Error("Find has added something")
			}

			found, err = l.Add()
			if err != nil || len(found.Added) != len(added) {
				t.Errorf("Add = %+v, %v", found, err)
			}
			run(target, `[ "$(cat new/same)" = new ]; [ new/same -ef new/deep/file ]; [ -p new/pipe ]; [ "$(readlink new/link)" = nowhere ]
[ "$(stat -c %u:%g:%a new/deep/file)" = 1:2:4755 ]; [ "$(stat -c %u:%g new/deep)" = 33:44 ]
[ "$(cat changed/file mode gone-since 2>/dev/null | tr -d '\n')" = 11 ]; [ -e deleted/file ]; [ -e replaced/old ]; [ -e tree/sub/file ]
[ "$(cat replaced/fresh same/deep/added same/deep/live moved/sub/file | tr '\n' .)" = new.new.live.1. ]; [ ! -e /tmp/file ] || [ "$(cat /tmp/file)" != new ]
[ -z "$(getfattr -R -h -m 'trusted.overlay' . 2>/dev/null)" ]`)

			found, err = l.Add()
			if err != nil || len(found.Added) > 0 || !cmp.Equal(found.Reported, reported) {
				t.Errorf("a second Add = %+v, %v", found, err)
			}

			// An account of the environment gets another number.
			storeMust(t, l.Renumber(map[uint32]uint32{1: 101}, nil))
			var st unix.Stat_t
			storeMust(t, unix.Stat(l.Upper+"/new/deep/file", &st))
			if st.Uid != 101 || st.Gid != 2 || st.Mode&0o7777 != 0o4755 {
				t.Errorf("it is of %d:%d, mode %o", st.Uid, st.Gid, st.Mode)
			}
		})
	}
}
