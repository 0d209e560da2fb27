package main

import "testing"

func TestNextControl(t *testing.T) {
	control := "Package: libc6\nVersion: 2.36-9\nDepends: libgcc-s1 (= 12.2), libc-bin:any (= 2.36-9),\n libfoo (= 2.36-9), libc-l10n (>= 2.36-9)\nProvides: libc (= 2.36-9)\nDescription: library\n libc-bin (= 2.36-9)\n"
	versions := map[string]string{"libc6": "2.36-9", "libc-bin": "2.36-9", "libgcc-s1": "11", "libc-l10n": "2.36-9", "libc": "2.36-9"}
	want := "Package: libc6\nVersion: 2.36-9+b9\nDepends: libgcc-s1 (= 12.2), libc-bin:any (= 2.36-9+b9),\n libfoo (= 2.36-9), libc-l10n (>= 2.36-9)\nProvides: libc (= 2.36-9)\nDescription: library\n libc-bin (= 2.36-9)\n"
	if got := nextControl(control, versions); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
