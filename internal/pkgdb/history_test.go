package pkgdb

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHistoryErrors(t *testing.T) {
	const (
		good = "\nStart-Date: 2026-11-20  06:10:00\nCommandline: apt-get install x\nInstall: x:amd64 (1)\nEnd-Date: 2026-11-20  06:10:02\n"
		bad  = "\nStart-Date: 2026-11-21  06:10:00\nCommandline: apt-get dist-upgrade\nError: Sub-process /usr/bin/dpkg returned an error code (1)\nEnd-Date: 2026-11-21  06:10:02\n"
	)
	message := "Sub-process /usr/bin/dpkg returned an error code (1)"
	tests := []struct {
		name, old, new string
		want           []string
	}{
		{"nothing", "", "", nil},
		{"nothing new", bad, bad, nil},
		{"good run", bad, bad + good, nil},
		{"bad run", good, good + bad, []string{message}},
		{"two bad runs", "", bad + bad, []string{message, message}},
		{"rotated", good + good, bad, []string{message}},
		{"old was cut in a line", good + "Err", good + "Error: x\n", []string{"x"}},
		{"no newline at the end", "", "Error: y", []string{"y"}},
		{"other fields", "", "Commandline: Error: z\nErrors: z\n", nil},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, HistoryErrors([]byte(test.old), []byte(test.new))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}
