package main

import (
	"testing"
	"time"
)

func TestChanging(t *testing.T) {
	const done = `2025-01-02 03:04:05 startup archives unpack
2025-01-02 03:04:06 upgrade libc6:amd64 2.41-12 2.41-12+next1
2025-01-02 03:04:06 status half-configured libc6:amd64 2.41-12
2025-01-02 03:04:09 status half-installed libc6:amd64 2.41-12
2025-01-02 03:04:11 status unpacked libc6:amd64 2.41-12+next1
2025-01-02 03:04:11 status half-configured bc:amd64 1
2025-01-02 03:04:12 status not-installed bc:amd64 <none>
2025-01-02 03:04:12 startup packages configure
2025-01-02 03:04:12 configure libc6:amd64 2.41-12+next1 <none>
2025-01-02 03:04:20 status installed libc6:amd64 2.41-12+next1
2025-01-02 03:04:25 startup packages configure
`
	from, to, err := changing(done)
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2025, 1, 2, 3, 4, 6, 0, time.UTC); !from.Equal(want) {
		t.Errorf("from %v, want %v", from, want)
	}
	if to.Sub(from) != 14*time.Second {
		t.Errorf("it took %v", to.Sub(from))
	}
	for name, log := range map[string]string{
		"nothing":   "2025-01-02 03:04:05 startup archives unpack\n",
		"half done": "2025-01-02 03:04:11 status unpacked libc6:amd64 2.41-12+next1\n",
		"no time":   "a b status unpacked libc6:amd64\n",
	} {
		if _, _, err := changing(log); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
