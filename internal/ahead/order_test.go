package ahead

import (
	"slices"
	"testing"
)

func TestOrder(t *testing.T) {
	sources := Sources("libc6 glibc\nlibc-bin glibc\nlibc-l10n glibc\nbash bash\nvim-common vim\n\nbroken\n")
	given := []string{
		"/a/libc6_2_amd64.deb", "/a/new_1_all.deb", "/a/libc-bin_2_amd64.deb",
		"/a/bash_5_amd64.deb", "/a/libc-l10n_2_all.deb", "/b/vim-common_9_all.deb",
	}
	want := []string{
		"/a/libc6_2_amd64.deb", "/a/bash_5_amd64.deb", "/b/vim-common_9_all.deb",
		"/a/new_1_all.deb", "/a/libc-bin_2_amd64.deb", "/a/libc-l10n_2_all.deb",
	}
	if got := Order(given, sources); !slices.Equal(got, want) {
		t.Errorf("Order = %q", got)
	}
	if got := Order(given, nil); !slices.Equal(got, given) {
		t.Errorf("without sources it is %q", got)
	}
}
