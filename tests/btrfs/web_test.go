package btrfs_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// webArchive serves a machine's archives by HTTP on a port of localhost, which the
// machine shares, as the host itself or as a proxy.
type webArchive struct {
	address        string // IP:PORT
	user, password string // the required authorization; "" for none

	mu      sync.Mutex
	proxied int             // packages requested from it as a proxy
	uids    map[string]bool // users who requested packages
}

// serve starts a server of the archives below dir, a path for this process. It ends
// with the test.
func serve(t *testing.T, dir string) *webArchive {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &webArchive{address: listener.Addr().String(), uids: map[string]bool{}}
	files := http.FileServer(http.Dir(dir))
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if w.user != "" && (user != w.user || password != w.password) {
			rw.Header().Set("WWW-Authenticate", `Basic realm="archive"`)
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		if strings.HasSuffix(r.URL.Path, ".deb") {
			w.note(r)
		}
		files.ServeHTTP(rw, r)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return w
}

func (w *webArchive) note(r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.URL.IsAbs() {
		w.proxied++
	}
	w.uids[socketOwner(r.RemoteAddr)] = true
}

// since returns the number of packages requested from it as a proxy, and the requesting
// users, since the last call.
func (w *webArchive) since() (proxied int, uids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for uid := range w.uids {
		uids = append(uids, uid)
	}
	proxied, w.proxied, w.uids = w.proxied, 0, map[string]bool{}
	return proxied, uids
}

// socketOwner returns the user number of the owner of a TCP socket of this host
// (proc(5)): field 8 of its line. Field 2 is the address in hexadecimal, in the host's
// byte order.
func socketOwner(address string) string {
	var a, b, c, d, port int
	if _, err := fmt.Sscanf(address, "%d.%d.%d.%d:%d", &a, &b, &c, &d, &port); err != nil {
		return err.Error()
	}
	host := binary.NativeEndian.Uint32([]byte{byte(a), byte(b), byte(c), byte(d)})
	data, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return err.Error()
	}
	for _, line := range strings.Split(string(data), "\n") {
		if fields := strings.Fields(line); len(fields) > 7 && fields[1] == fmt.Sprintf("%08X:%04X", host, port) {
			return fields[7]
		}
	}
	return "nobody"
}

// source returns the line of sources.list for a served archive, by the name of a host.
func (w *webArchive) source(host string, archive packages.Variant) string {
	_, port, _ := net.SplitHostPort(w.address)
	return fmt.Sprintf("deb [trusted=yes] http://%s:%s/%s ./\n", host, port, archive)
}

// nameServer answers questions for IPv4 addresses of names below .example with
// 127.0.0.1, and no other questions (RFC 1035). It returns its address for
// resolv.conf(5), where the port is always 53.
func nameServer(t *testing.T) (ip string) {
	t.Helper()
	var conn net.PacketConn
	for n := 1; ; n++ { // another process may test on this host
		ip = fmt.Sprintf("127.53.%d.1", n)
		var err error
		if conn, err = net.ListenPacket("udp4", ip+":53"); err == nil {
			break
		}
		if n == 200 {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		question := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(question)
			if err != nil {
				return
			}
			if answer := answerName(question[:n]); answer != nil {
				conn.WriteTo(answer, from)
			}
		}
	}()
	return ip
}

// answerName answers a DNS message with one question, or returns nil if the message is
// invalid.
func answerName(question []byte) []byte {
	const header = 12
	name, end := "", header
	for end < len(question) && question[end] != 0 {
		next := end + 1 + int(question[end])
		if next >= len(question) {
			return nil
		}
		name += string(question[end+1:next]) + "."
		end = next
	}
	end += 5 // the 0, type and class
	if len(question) < end {
		return nil
	}
	known := strings.HasSuffix(name, ".example.") && binary.BigEndian.Uint16(question[end-4:]) == 1
	answer := append([]byte(nil), question[:end]...)
	answer[2], answer[3] = 0x81, 0x80 // an answer, with recursion
	for i := 6; i < header; i++ {
		answer[i] = 0
	}
	if !known {
		if !strings.HasSuffix(name, ".example.") {
			answer[3] |= 3 // no such name
		}
		return answer
	}
	answer[7] = 1                                     // one record:
	answer = append(answer, 0xc0, header, 0, 1, 0, 1) // of that name, an IPv4 address,
	answer = append(answer, 0, 0, 0, 60, 0, 4)        // for a minute, of four bytes
	return append(answer, 127, 0, 0, 1)
}
