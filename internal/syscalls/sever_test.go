package syscalls

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSever tries all ways to make a severed socket usable again, for both versions of
// IP if the machine has them.
func TestSever(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil && host == "::1" {
			t.Logf("there is no IPv6: %v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		port := listener.Addr().(*net.TCPAddr).Port
		packets, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer packets.Close()
		family, to, datagrams := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}),
			unix.Sockaddr(&unix.SockaddrInet4{Port: packets.LocalAddr().(*net.UDPAddr).Port, Addr: [4]byte{127, 0, 0, 1}})
		by := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: 1})
		if host == "::1" {
			family, to, datagrams = unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}},
				&unix.SockaddrInet6{Port: packets.LocalAddr().(*net.UDPAddr).Port, Addr: [16]byte{15: 1}}
			by = unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: 1})
		}
		disconnect := func(fd int) {
			address := [28]byte{} // AF_UNSPEC
			_, _, _ = unix.Syscall(unix.SYS_CONNECT, uintptr(fd), addressOf(&address), 28)
		}
		for _, c := range []struct {
			name    string
			kind    int
			prepare func(fd int) error
			use     func(fd int) error
		}{
			{"connected", unix.SOCK_STREAM, func(fd int) error { return unix.Connect(fd, to) }, func(fd int) error { _, err := unix.Write(fd, []byte("x")); return err }},
			{"connected anew", unix.SOCK_STREAM, func(fd int) error { return unix.Connect(fd, to) }, func(fd int) error { disconnect(fd); return unix.Connect(fd, to) }},
			{"new", unix.SOCK_STREAM, func(int) error { return nil }, func(fd int) error { return unix.Connect(fd, to) }},
			{"with data", unix.SOCK_STREAM, func(int) error { return nil }, func(fd int) error { return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, to) }},
			{"datagrams", unix.SOCK_DGRAM, func(int) error { return nil }, func(fd int) error { return unix.Sendto(fd, []byte("x"), 0, datagrams) }},
			{"of a device", unix.SOCK_DGRAM, func(int) error { return nil }, func(fd int) error { return unix.Sendmsg(fd, []byte("x"), by, datagrams, 0) }},
			{"connected anew", unix.SOCK_DGRAM, func(fd int) error { return unix.Connect(fd, datagrams) }, func(fd int) error {
				disconnect(fd)
				if err := unix.Connect(fd, datagrams); err != nil {
					return err
				}
				_, err := unix.Write(fd, []byte("x"))
				return err
			}},
			{"disconnected", unix.SOCK_DGRAM, func(fd int) error { return unix.Connect(fd, datagrams) }, func(fd int) error {
				disconnect(fd)
				return unix.Sendto(fd, []byte("x"), unix.MSG_MORE, datagrams)
			}},
		} {
			for _, severed := range []bool{false, true} {
				fd, err := unix.Socket(family, c.kind, 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.prepare(fd); err != nil {
					t.Fatalf("%s, %s: %v", host, c.name, err)
				}
				if severed {
					sever(fd)
				}
				if err := c.use(fd); (err != nil) != severed && err != unix.EOPNOTSUPP { // no TCP Fast Open
					t.Errorf("%s, %s, severed %v: %v", host, c.name, severed, err)
				}
				unix.Close(fd)
			}
		}
	}
}
