package control

import "testing"

func TestNext(t *testing.T) {
	versions := map[string]string{"apache2": "2.4-1", "apache2-bin": "2.4-1", "libc6": "2.41-12", "perl-base": "1:5.40"}
	for _, c := range []struct{ name, control, want string }{
		{"version", "Package: apache2\nVersion: 2.4-1\n", "Package: apache2\nVersion: 2.4-1+next1\n"},
		{"bound", "Depends: apache2-bin (= 2.4-1), libc6 (>= 2.41-12), perl-base:any (= 1:5.40)\n",
			"Depends: apache2-bin (= 2.4-1+next1), libc6 (>= 2.41-12), perl-base:any (= 1:5.40+next1)\n"},
		{"alternatives", "Recommends: a | apache2 (= 2.4-1)\n", "Recommends: a | apache2 (= 2.4-1+next1)\n"},
		{"continued", "Pre-Depends: a,\n apache2 (= 2.4-1)\n", "Pre-Depends: a,\n apache2 (= 2.4-1+next1)\n"},
		{"other version", "Depends: apache2 (= 2.4-2)\n", "Depends: apache2 (= 2.4-2)\n"},
		{"other package", "Depends: libudev1 (= 257)\n", "Depends: libudev1 (= 257)\n"},
		{"provided", "Provides: apache2 (= 2.4-1)\n", "Provides: apache2 (= 2.4-1)\n"},
		{"described", "Description: x\n Version: 1, apache2 (= 2.4-1)\n", "Description: x\n Version: 1, apache2 (= 2.4-1)\n"},
	} {
		if got := Next(c.control, versions, "+next1"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
