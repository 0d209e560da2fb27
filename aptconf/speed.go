package aptconf

// Speed is the scope Apt-Be::Speed:: of apt's configuration: what makes an
// upgrade in a boot environment cheaper than one in place. All are on unless
// switched off; Apt-Be::Speed itself switches all of them at once.
type Speed struct {
	// NoSync is Apt-Be::Speed::No-Sync: nothing is written to disk before the
	// new environment is whole.
	NoSync bool
	// Predecompress is Apt-Be::Speed::Predecompress: packages are decompressed
	// while dpkg is still busy with those before them.
	Predecompress bool
	// OneInitramfs is Apt-Be::Speed::One-Initramfs: an initramfs is built once,
	// at the end.
	OneInitramfs bool
	// SkipUnchanged is Apt-Be::Speed::Skip-Unchanged: dpkg does not write what
	// is there already, if one of the packages is installed that can do it.
	SkipUnchanged bool
	// Dedupe is Apt-Be::Speed::Dedupe: files that were written again unchanged
	// share their space with the old ones.
	Dedupe bool
}

// speed reads the scope Apt-Be::Speed::.
func (c Config) speed() (Speed, error) {
	all, err := c.switched("Apt-Be::Speed", true)
	if err != nil {
		return Speed{}, err
	}
	var s Speed
	for _, item := range []struct {
		name string
		set  *bool
	}{
		{"No-Sync", &s.NoSync},
		{"Predecompress", &s.Predecompress},
		{"One-Initramfs", &s.OneInitramfs},
		{"Skip-Unchanged", &s.SkipUnchanged},
		{"Dedupe", &s.Dedupe},
	} {
		if *item.set, err = c.switched("Apt-Be::Speed::"+item.name, all); err != nil {
			return Speed{}, err
		}
	}
	return s, nil
}

// switched reads an item that is a boolean and nothing else.
func (c Config) switched(name string, def bool) (bool, error) {
	v := c.String(name, "")
	if v == "" {
		return def, nil
	}
	b, ok := ParseBool(v)
	if !ok {
		return false, c.fault(name, v, "neither yes nor no")
	}
	return b, nil
}
