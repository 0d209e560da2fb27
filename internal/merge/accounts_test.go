package merge

import (
	"slices"
	"strings"
	"testing"
)

// side parses account files: "passwd" is "etc/passwd".
func side(files ...string) Accounts {
	a := Accounts{}
	for i := 0; i < len(files); i += 2 {
		a["etc/"+files[i]] = []byte(strings.ReplaceAll(files[i+1], " ", "\n") + "\n")
	}
	return a
}

func TestAccounts(t *testing.T) {
	for _, test := range []struct {
		name             string
		base, live, next Accounts
		want             Accounts
		renumbered       []string
		lost             []string
	}{
		{
			name: "a password rotated, an account locked, one added, one deleted; the package's user is there",
			base: side("shadow", "root:r:1:0:9:7::: al:x:1:0:9:7::: bo:y:1:0:9:7::: cy:z:1:0:9:7:::"),
			live: side("shadow", "root:R:2:0:9:7::: al:!x:1:0:9:7::: bo:y:1:0:9:7::: di:w:2:0:9:7:::"),
			next: side("shadow", "root:r:1:0:9:7::: al:x:1:0:9:7::: bo:y:1:0:9:7::: cy:z:1:0:9:7::: _pkg:!:2::::::"),
			want: side("shadow", "root:R:2:0:9:7::: al:!x:1:0:9:7::: bo:y:1:0:9:7::: _pkg:!:2:::::: di:w:2:0:9:7:::"),
		},
		{
			name: "a deleted user does not come back, whatever the package did to it",
			base: side("passwd", "root:x:0:0::/: al:x:1000:1000::/home/al:/bin/sh bo:x:1001:1001::/home/bo:/bin/sh"),
			live: side("passwd", "root:x:0:0::/: al:x:1000:1000::/home/al:/bin/sh"),
			next: side("passwd", "root:x:0:0::/: al:x:1000:1000::/home/al:/bin/sh bo:x:1001:1001::/home/bo:/bin/false"),
			want: side("passwd", "root:x:0:0::/: al:x:1000:1000::/home/al:/bin/sh"),
			lost: []string{"bo:x:1001:1001::/home/bo:/bin/false"},
		},
		{
			name: "different fields of an entry",
			base: side("passwd", "root:x:0:0::/: daemon:x:1:1:d:/usr/sbin:/usr/sbin/nologin"),
			live: side("passwd", "root:x:0:0::/: daemon:x:1:1:d:/usr/sbin:/bin/sh"),
			next: side("passwd", "root:x:0:0::/: daemon:x:1:1:the-daemon:/:/usr/sbin/nologin"),
			want: side("passwd", "root:x:0:0::/: daemon:x:1:1:the-daemon:/:/bin/sh"),
		},
		{
			name: "members of a group",
			base: side("group", "root:x:0: adm:x:4:al,bo audio:x:29:"),
			live: side("group", "root:x:0: adm:x:4:al,cy audio:x:29:al"),
			next: side("group", "root:x:0: adm:x:4:al,bo,_pkg audio:x:29:_pkg"),
			want: side("group", "root:x:0: adm:x:4:al,cy,_pkg audio:x:29:al,_pkg"),
		},
		{
			name: "administrators and members in gshadow",
			base: side("gshadow", "adm:*::al"), live: side("gshadow", "adm:*:al:al"), next: side("gshadow", "adm:*::al,_pkg"),
			want: side("gshadow", "adm:*:al:al,_pkg"),
		},
		{
			name: "both gave away the same numbers",
			base: side("passwd", "root:x:0:0::/root:/bin/sh", "group", "root:x:0:"),
			live: side("passwd", "root:x:0:0::/root:/bin/sh mon:x:101:102::/:/bin/sh", "group", "root:x:0: mon:x:102:"),
			next: side("passwd", "root:x:0:0::/root:/bin/sh _pkg:x:101:102::/:/bin/sh", "group", "root:x:0: _pkg:x:102:"),
			want: side("passwd", "root:x:0:0::/root:/bin/sh _pkg:x:102:103::/:/bin/sh mon:x:101:102::/:/bin/sh",
				"group", "root:x:0: _pkg:x:103: mon:x:102:"),
			renumbered: []string{"uid 101 of _pkg becomes 102", "gid 102 of _pkg becomes 103"},
		},
		{
			name:       "both added the same user with different numbers",
			base:       side("passwd", "root:x:0:0::/root:/bin/sh"),
			live:       side("passwd", "root:x:0:0::/root:/bin/sh mon:x:101:65534::/var/mon:/bin/sh"),
			next:       side("passwd", "root:x:0:0::/root:/bin/sh _pkg:x:101:65534::/:/bin/sh mon:x:102:65534::/:/bin/false"),
			want:       side("passwd", "root:x:0:0::/root:/bin/sh _pkg:x:103:65534::/:/bin/sh mon:x:101:65534::/var/mon:/bin/sh"),
			renumbered: []string{"uid 101 of _pkg becomes 103", "uid 102 of mon becomes 101"},
		},
		{
			name: "a second name for root is no collision",
			base: side("passwd", "root:x:0:0::/root:/bin/sh"),
			live: side("passwd", "root:x:0:0::/root:/bin/bash"),
			next: side("passwd", "root:x:0:0::/root:/bin/sh toor:x:0:0::/root:/bin/sh"),
			want: side("passwd", "root:x:0:0::/root:/bin/bash toor:x:0:0::/root:/bin/sh"),
		},
		{
			name: "the lines of NIS stay where they are",
			base: side("passwd", "root:x:0:0::/root:/bin/sh +::::::"),
			live: side("passwd", "root:x:0:0::/root:/bin/bash -bad:::::: +::::::"),
			next: side("passwd", "root:x:0:0::/root:/bin/sh _pkg:x:101:101::/:/bin/sh +::::::"),
			want: side("passwd", "root:x:0:0::/root:/bin/bash _pkg:x:101:101::/:/bin/sh -bad:::::: +::::::"),
		},
		{
			name: "an entry with too few fields is left alone",
			base: side("group", "root:x:0: a:x:4:"), live: side("group", "root:x:0: a:x:4"), next: side("group", "root:x:0: a:x:4:_pkg"),
			want: side("group", "root:x:0: a:x:4"), lost: []string{"a:x:4:_pkg"},
		},
		{
			name: "passwords are not reported",
			base: side("shadow", "root:*:1:::::: al:x:1:0:9:7:::"), live: side("shadow", "root:*:1:::::: al:y:2:0:9:7:::"), next: side("shadow", "root:*:1:::::: al:z:3:0:9:7:::"),
			want: side("shadow", "root:*:1:::::: al:y:2:0:9:7:::"), lost: []string{"another password"},
		},
		{
			name: "subordinate ids don't overlap",
			base: side("subuid", "al:100000:65536"), live: side("subuid", "al:100000:65536 bo:165536:65536"), next: side("subuid", "al:100000:65536 _pkg:165536:65536"),
			want: side("subuid", "al:100000:65536 _pkg:231072:65536 bo:165536:65536"),
		},
		{
			name: "a file that one side has not",
			base: side("passwd", "root:x:0:0:::", "subuid", "a:1:1"), live: side("passwd", "root:x:0:0:::"), next: side("passwd", "root:x:0:0:::", "subgid", "a:1:1", "subuid", "a:1:1"),
			want: side("passwd", "root:x:0:0:::", "subgid", "a:1:1", "subuid", "a:1:1"),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, renumbered, conflicts, err := MergeAccounts(test.base, test.live, test.next)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range AccountFiles {
				if string(got[file]) != string(test.want[file]) {
					t.Errorf("%s is\n%swant\n%s", file, got[file], test.want[file])
				}
			}
			var said, lost []string
			for _, r := range renumbered {
				said = append(said, r.String())
			}
			for _, c := range conflicts {
				lost = append(lost, c.Lost)
			}
			if !slices.Equal(said, test.renumbered) {
				t.Errorf("renumbered: %q, want %q", said, test.renumbered)
			}
			if !slices.Equal(lost, test.lost) {
				t.Errorf("lost: %q, want %q", lost, test.lost)
			}
			again, renumbered, _, err := MergeAccounts(test.live, test.live, got)
			if err != nil || len(renumbered) > 0 {
				t.Errorf("again: %v, %v", renumbered, err)
			}
			for _, file := range AccountFiles {
				if string(again[file]) != string(got[file]) {
					t.Errorf("%s becomes another one when it is done again:\n%s", file, again[file])
				}
			}
		})
	}
}

func TestUnmergeableAccounts(t *testing.T) {
	good := side("passwd", "root:x:0:0:::")
	if _, _, _, err := MergeAccounts(good, side("passwd", "a:x:1:1:::"), good); err == nil {
		t.Error("no error without root")
	}
	for _, bad := range []Accounts{side("passwd", "root:x:many:1:::"), side("passwd", "root:x")} {
		for i := range 3 {
			sides := []Accounts{good, good, good}
			sides[i] = bad
			if _, _, _, err := MergeAccounts(sides[0], sides[1], sides[2]); err == nil {
				t.Errorf("%d: %s: no error", i, bad["etc/passwd"])
			}
		}
	}
}

func TestFree(t *testing.T) {
	taken := map[uint32]bool{998: true, 999: true, 1000: true}
	for near, want := range map[uint32]uint32{999: 997, 1000: 1001, 5: 100, 65534: 59999} {
		if got, err := free(near, taken); err != nil || got != want {
			t.Errorf("free(%d) = %d, %v; want %d", near, got, err, want)
		}
	}
	for id := uint32(100); id < 1000; id++ {
		taken[id] = true
	}
	if got, err := free(100, taken); err == nil {
		t.Errorf("%d is free although none is", got)
	}
}

func TestMoved(t *testing.T) {
	base := side("passwd", "root:x:0:0::/: al:x:1000:1000:::", "group", "root:x:0: al:x:1000:")
	for want, running := range map[string]Accounts{
		"":   side("passwd", "root:x:0:0::/: bo:x:1000:1000:::", "group", "root:x:0: bo:x:1000:"),
		"al": side("passwd", "root:x:0:0::/: al:x:2000:1000:::", "group", "root:x:0: al:x:1000:"),
	} {
		if got, err := RenumberedAccount(base, running); got != want || err != nil {
			t.Errorf("%q was moved, %v; want %q", got, err, want)
		}
	}
	if got, err := RenumberedAccount(base, side("passwd", "root:x:0:0::/:", "group", "al:x:7:")); got != "al" || err != nil {
		t.Errorf("%q was moved, %v; want the group", got, err)
	}
	if _, err := RenumberedAccount(base, side("passwd", "root:x")); err == nil {
		t.Error("no error")
	}
}
