package aptconf

// Speed is the scope Apt-Be::Speed:: of apt's configuration: the speed-ups of upgrades
// in a boot environment. All are on by default; Apt-Be::Speed itself switches all of
// them.
type Speed struct {
	// NoSync is Apt-Be::Speed::No-Sync: suppress syncs until the new environment is
	// complete.
	NoSync bool
	// Predecompress is Apt-Be::Speed::Predecompress: decompress packages while dpkg
	// unpacks earlier ones.
	Predecompress bool
	// OneInitramfs is Apt-Be::Speed::One-Initramfs: build an initramfs once, at the
	// end.
	OneInitramfs bool
	// SkipUnchanged is Apt-Be::Speed::Skip-Unchanged: dpkg does not write unchanged
	// files, if a package that can do this is installed.
	SkipUnchanged bool
	// Dedupe is Apt-Be::Speed::Dedupe: files that were written again unchanged share
	// their space with the old ones.
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

// switched reads an item that must be a boolean.
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
