package guest

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
)

// Serve serves the files below directory dir to the machine until the test ends. It
// returns the URL, without a slash at the end.
func Serve(t T, dir string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot serve %s: %v", dir, err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	// QEMU's own network has the host at this address.
	return fmt.Sprintf("http://10.0.2.2:%d", listener.Addr().(*net.TCPAddr).Port)
}

// Put copies a file into the machine.
func (g *Guest) Put(t T, file, name string) {
	t.Helper()
	url := Serve(t, filepath.Dir(file)) + "/" + filepath.Base(file)
	// Every Debian has apt's HTTP client.
	g.WaitNetwork(t)
	g.Shell(t, "/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "+url+" "+name)
}

// WaitNetwork waits until the machine has its address. The boot does not wait for that.
func (g *Guest) WaitNetwork(t T) {
	t.Helper()
	g.Shell(t, "until ip route get 10.0.2.2 >/dev/null 2>&1; do sleep 0.2; done")
}
