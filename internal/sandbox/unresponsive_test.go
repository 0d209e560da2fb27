package sandbox

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
)

// A file system that answers is not reported. Local file systems and missing mount
// points are not tested.
func TestUnresponsive(t *testing.T) {
	dir := t.TempDir()
	silent := unresponsiveAmong([]*mountinfo.Info{
		{Mountpoint: dir, FSType: "fuse.sshfs"},
		{Mountpoint: dir + "/below", FSType: "ext4"}, // which does not exist
		{Mountpoint: "/nowhere", FSType: "ext4"},
		{Mountpoint: "/proc", FSType: "proc"},
	})
	if diff := cmp.Diff([]string(nil), silent); diff != "" {
		t.Error(diff)
	}
}
