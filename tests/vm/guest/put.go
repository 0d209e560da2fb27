package guest

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
)

// Serve lets the machine read the files below directory dir, and returns the
// URL where it finds them, without a slash at the end. It does so until the
// test has ended.
func Serve(t T, dir string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot serve %s: %v", dir, err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	// This is where QEMU's own network has the host.
	return fmt.Sprintf("http://10.0.2.2:%d", listener.Addr().(*net.TCPAddr).Port)
}

// Put copies a file into the machine.
func (g *Guest) Put(t T, file, name string) {
	t.Helper()
	url := Serve(t, filepath.Dir(file)) + "/" + filepath.Base(file)
	// apt has the one HTTP client that every Debian has.
	g.WaitNetwork(t)
	g.Shell(t, "/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "+url+" "+name)
}

// WaitNetwork waits until the machine has its address: it boots without
// waiting for that.
func (g *Guest) WaitNetwork(t T) {
	t.Helper()
	g.Shell(t, "until ip route get 10.0.2.2 >/dev/null 2>&1; do sleep 0.2; done")
}
