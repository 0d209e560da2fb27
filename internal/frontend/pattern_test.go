package frontend

import "testing"

// TestSelectsInstalled has patterns of apt and of aptitude.
func TestSelectsInstalled(t *testing.T) {
	for word, want := range map[string]bool{
		"?upgradable": true, "~U": true, "?installed": true, "~i": true, "?Upgradable": true, "~U+": true, "~U&M": true, "~U+M": true,
		"~U~nfoo": true, "~nfoo~U": true, "~U foo": true, "~U !~nfoo": true, "!~nfoo ~U": true, "~i~o": true, "~o~i": true,
		"?and(?upgradable, ?name(foo))": true, "?and(?name(a(b)),?installed)": true, "(~U)": true, "((~U))|~i": true,
		"?or(?upgradable, ~i)": true, "~U | ~i": true, "?narrow(?upgradable,?archive(stable))": true, "?any-version(?installed)": true,
		"?upgradable ?section(net)": true, "?section(net) & ?upgradable": true, "?upgradable()": true,

		"": false, "foo": false, "foo+": false, "foo-": false, "./foo_1_all.deb": false, "foo=1~rc1": false, "foo/testing": false,
		"~n": false, "~nU": false, "~ninstalled": false, "?name(?upgradable)": false, "?true": false, "~T": false, "~N": false, "~c": false,
		"!~U": false, "!?upgradable": false, "?not(?upgradable)": false, "!(~U)": false, "~U | ~nfoo": false, "?or(?upgradable,?name(x))": false,
		"~U-": false, "~U_": false, "~U:": false, "~U=": false, "?upgradable-": false, "~": false, "?": false, "(~U": false, "~U)": false, "?and(~U": false,
		"foo=1.0~incubating-1": false, "./foo_1.0~incubating-1_amd64.deb": false, "/srv/debs/foo_2.0~intel1_amd64.deb": false,
		"foo=2.0~U1": false, "./foo_1~beta~i.deb": false, "foo/~U": false,
		"c++~U,": false, "?config-files": false, "libstdc++6": false, "?description(~U)": false,
	} {
		if got := selectsInstalled(word); got != want {
			t.Errorf("%q: %v, want %v", word, got, want)
		}
	}
}

func FuzzSelectsInstalled(f *testing.F) {
	for _, word := range []string{"~U", "?and(?upgradable, ?name(foo))", "!(~U|~i)", "?or((a),", "~"} {
		f.Add(word)
	}
	f.Fuzz(func(_ *testing.T, word string) { selectsInstalled(word) }) // it must end
}
