package merge

import "testing"

func TestText(t *testing.T) {
	for _, test := range []struct {
		name             string
		action           Action
		base, live, next string
		want             string
	}{
		{"etc/motd", Prepend, "1\n", "0\n1\n", "1\n2\n", "0\n1\n2\n"},
		{"etc/motd", Prepend, "1\n", "other", "1\n2\n", "other\n1\n2\n"},
		{"etc/hosts", Merge, "1\n", "1\n2\n", "1\n3\n", "1\n3\n2\n"},
		{"etc/fstab", Merge, "a / x\n", "a / y\nb /b x\n", "a / x\nc /c x\n", "a / y\nc /c x\nb /b x\n"},
		{"etc/own.list", Merge, "1\n2\n", "2\n3\n", "1\n2\n4\n", "2\n4\n3\n"},
		{"var/lib/dpkg/alternatives/editor", Merge, "auto\n/nano\n", "manual\n/nano\n", "auto\n/nano\n/vim\n", "manual\n/nano\n/vim\n"},
		{"var/lib/dpkg/alternatives/editor", Merge, "manual\n/nano\n", "manual\n/vim\n", "auto\n/nano\n/vim\n", "auto\n/nano\n/vim\n"},
	} {
		got, _, err := Text(test.name, test.action, []byte(test.base), []byte(test.live), []byte(test.next))
		if err != nil || string(got) != test.want {
			t.Errorf("%s %s of %q, %q, %q: %q, %v; want %q", test.action, test.name, test.base, test.live, test.next, got, err, test.want)
		}
	}
	if _, _, err := Text("x", Ignore, nil, nil, nil); err == nil {
		t.Error("IGNORE is no error")
	}
}
