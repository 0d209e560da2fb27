package upgrade

import "testing"

func TestEtcCommits(t *testing.T) {
	for conf, want := range map[string]bool{
		"": false,
		"VCS=git\n#AVOID_COMMIT_BEFORE_INSTALL=1\n":   false,
		"AVOID_COMMIT_BEFORE_INSTALL=0\n":             false,
		"AVOID_COMMIT_BEFORE_INSTALL=10\n":            false,
		"VCS=git\nAVOID_COMMIT_BEFORE_INSTALL=1\n":    true,
		"AVOID_COMMIT_BEFORE_INSTALL=\"1\" # no\nX=1": true,
		"AVOID_COMMIT_BEFORE_INSTALL='1'":             true,
	} {
		if got := etcCommits.MatchString(conf); got != want {
			t.Errorf("%q: %v, want %v", conf, got, want)
		}
	}
}
