package aptconf

// The network policies of a sandbox.
const (
	NetworkDownload = "download" // the machine's network until packages are unpacked, then none
	NetworkFull     = "full"     // the machine's network
)

// Network returns Apt-Be::Sandbox::Network: NetworkDownload or NetworkFull.
func (c Config) Network() (string, error) {
	const name = "Apt-Be::Sandbox::Network"
	switch v := c.String(name, NetworkDownload); v {
	case NetworkDownload, NetworkFull:
		return v, nil
	default:
		return "", c.fault(name, v, "not one of download, full")
	}
}
