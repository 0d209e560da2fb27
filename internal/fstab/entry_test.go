package fstab

import (
	"errors"
	"slices"
	"testing"
)

func TestEntries(t *testing.T) {
	got := Entries([]byte(installer))
	if len(got) != 4 {
		t.Fatalf("there are %d entries: %+v", len(got), got)
	}
	if want := (Entry{"UUID=1b2c-d", "/home", "btrfs", "subvol=@home,subvolid=300"}); got[2] != want || want.Subvolume() != "@home" {
		t.Errorf("the third is %+v, want %+v", got[2], want)
	}
	for entry, want := range map[Entry]string{
		{Type: "btrfs", Options: `rw,subvol=/@share/a\040b`}: "@share/a b",
		{Type: "btrfs", Options: "rw"}:                       "",
		{Type: "ext4", Options: "subvol=@x"}:                 "",
	} {
		if got := entry.Subvolume(); got != want {
			t.Errorf("%+v mounts %q, want %q", entry, got, want)
		}
	}
}

func TestBesideRoot(t *testing.T) {
	for in, want := range map[string]string{
		installer: "defaults,subvol=@share/mail",
		"U / btrfs noatime,subvolid=5,compress=zstd\n": "noatime,compress=zstd,subvol=@share/mail",
		"U / btrfs\n": "subvol=@share/mail",
		"U / btrfs subvol=/@,ssd\nU / btrfs subvol=other\n": "subvol=/@share/mail,ssd",
	} {
		e, err := BesideRoot([]byte(in), "/var/mail", "@share/mail")
		if err != nil || e.Options != want || e.Dir != "/var/mail" || e.Subvolume() != "@share/mail" {
			t.Errorf("%q: %+v, %v, want %q", in, e, err, want)
		}
	}
	for in, want := range map[string]error{"": ErrNoRoot, "U / ext4 x\n": ErrNotBtrfs} {
		if _, err := BesideRoot([]byte(in), "/x", "s"); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
	if _, err := BesideRoot([]byte(installer), "/x", "a,b"); !errors.Is(err, ErrBadSubvolume) {
		t.Errorf("a comma: %v", err)
	}
}

// An added entry can be found and removed, and all other text stays unchanged.
func TestAppendAndRemove(t *testing.T) {
	e := Entry{"UUID=1", "/srv/my mail", "btrfs", "subvol=@share/mail"}
	for _, before := range []string{installer + "\n", "", "# only\n"} {
		with := Append([]byte(before), e)
		if string(with) != before+`UUID=1 /srv/my\040mail btrfs subvol=@share/mail 0 0`+"\n" {
			t.Errorf("%q became %q", before, with)
		}
		if !slices.Contains(Entries(with), e) {
			t.Errorf("it is not in %q", with)
		}
		without, changed := Remove(with, func(other Entry) bool { return other == e })
		if !changed || string(without) != before {
			t.Errorf("%q became %q, %v", before, without, changed)
		}
	}
	if out, changed := Remove([]byte(installer), func(e Entry) bool { return e.Dir == "/srv" }); changed || string(out) != installer {
		t.Errorf("without anything to remove it became %q", out)
	}
	if with := Append([]byte("U / btrfs"), e); string(with[:10]) != "U / btrfs\n" {
		t.Errorf("after a line that does not end: %q", with)
	}
}

func TestBound(t *testing.T) {
	got := Bound(Entries([]byte("/data/opt/ /opt none bind 0 0\n/a /b none rw,rbind\nU /srv btrfs subvol=@srv\nbind /c none bind\n# /x /y none bind\n")))
	if len(got) != 2 || got["/opt"] != "/data/opt" || got["/b"] != "/a" {
		t.Errorf("bound are %q", got)
	}
}
