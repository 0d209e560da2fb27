package aptconf

// The networks that what runs in a sandbox may have.
const (
	NetworkDownload = "download" // the machine's until packages are unpacked, then none
	NetworkFull     = "full"     // the machine's
)

// Network returns Apt-Be::Sandbox::Network: NetworkDownload or NetworkFull.
func (c Config) Network() (string, error) {
	const name = "Apt-Be::Sandbox::Network"
	switch v := c.String(name, NetworkDownload); v {
	case NetworkDownload, NetworkFull:
		return v, nil
	default:
		return "", c.fault(name, v, "none of download, full")
	}
}
