package sandbox

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
)

// A file system that answers is not silent, and one on a disk is not asked, nor what
// is not there.
func TestSilentAmong(t *testing.T) {
	dir := t.TempDir()
	silent := unresponsiveAmong([]*mountinfo.Info{
		{Mountpoint: dir, FSType: "fuse.sshfs"},
		{Mountpoint: dir + "/below", FSType: "ext4"}, // which says that it is not there
		{Mountpoint: "/nowhere", FSType: "ext4"},
		{Mountpoint: "/proc", FSType: "proc"},
	})
	if diff := cmp.Diff([]string(nil), silent); diff != "" {
		t.Error(diff)
	}
}
