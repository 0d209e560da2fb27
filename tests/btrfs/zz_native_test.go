package btrfs_test

import "testing"

func testNative(t *testing.T, l lab) {
	for _, f := range frontends() {
		for _, c := range cells() {
			if _, without := c.without[f.name]; without {
				continue
			}
			t.Run(f.name+"/"+c.name, func(t *testing.T) {
				n := c.native
				if n == nil {
					n = c.run
				}
				o := l.native(t, f, c.archive, n)
				t.Logf("STATUS %d half %v ends %s\n%s", o.status, o.halfDone(), o.ends(f), o.output)
			})
		}
	}
}
