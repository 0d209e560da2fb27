package catchup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/merge"
)

// driftOf returns changes that are carried, or skipped if the path begins with a minus.
func driftOf(paths ...string) *drift.Drift {
	d := &drift.Drift{}
	for _, path := range paths {
		c := drift.Change{Change: merge.Change{Path: path, Decision: merge.Decision{Source: merge.FromRunning}}}
		if left, ok := strings.CutPrefix(path, "-"); ok {
			c.Path, c.Source = left, merge.FromTarget
		}
		d.Changes = append(d.Changes, c)
	}
	return d
}

func TestDerivations(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"usr/lib/modules/6.1/modules.builtin", "usr/lib/modules/-n/modules.builtin", "usr/lib/modules/gone/updates/x.ko"} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		changes   []string
		want      string
		initramfs bool
	}{
		{[]string{"srv/file"}, "", false},
		{[]string{"usr/lib/modules/6.1/updates/x.ko", "usr/lib/modules/6.1/updates"}, "depmod -a -- 6.1", false},
		{[]string{"usr/lib/modules/-n/x.ko"}, "depmod -a -- -n", false},
		{[]string{"-usr/lib/modules/6.1/modules.dep"}, "", false},
		{[]string{"usr/lib/modules/gone/updates/x.ko"}, "", false},
		{[]string{"-etc/ld.so.cache"}, "ldconfig", false},
		{[]string{"etc/ld.so.cache"}, "", false},
		{[]string{"-etc/ld.so.conf.d/x"}, "", false},
		{[]string{"etc/udev/hwdb.d/x"}, "systemd-hwdb --usr update", false},
		{[]string{"-boot/initrd.img-6.1"}, "", true},
		{[]string{"boot/initrd.img-6.1"}, "", false},
		{[]string{"etc/modprobe.d/x"}, "", true},
	} {
		found := driftOf(test.changes...)
		var got []string
		for _, d := range append(quick[:len(quick):len(quick)], ofModules(found, root)...) {
			if d.concerns(found) {
				got = append(got, strings.Join(d.command, " "))
			}
		}
		if fmt.Sprint(got) != "["+test.want+"]" || NeedsInitramfs(found) != test.initramfs {
			t.Errorf("%q: %q and %t, want %q and %t", test.changes, got, NeedsInitramfs(found), test.want, test.initramfs)
		}
	}
}
