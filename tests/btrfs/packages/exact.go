package packages

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Exact is a package for all architectures. Its members have exactly the given
// modes, owners and links; a build from a directory would need files with these.
type Exact struct {
	Name, Version string
	Fields        []string          // further control fields, such as "Replaces: x"
	Control       map[string]string // control files beside control; "conffiles" too
	Members       []Member
	Time          time.Time // the modification time of each member
}

// Member is a file of a package. The directories above it are added automatically.
type Member struct {
	Name     string      // from "/", such as "/usr/lib/x"
	Type     byte        // such as tar.TypeSymlink; a regular file if 0
	Mode     fs.FileMode // permissions and tar's set-id bits; 0644 if 0
	UID, GID int
	Link     string // the target of a symbolic link, or the name, from "/", of a hard link
	Content  []byte
}

// Write makes the package in directory dir and returns the name of its file.
func (e Exact) Write(dir string) (string, error) {
	control, err := e.control()
	if err != nil {
		return "", fmt.Errorf("cannot build %s: %w", e.Name, err)
	}
	data, err := e.data()
	if err != nil {
		return "", fmt.Errorf("cannot build %s: %w", e.Name, err)
	}
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	for _, part := range []struct {
		name    string
		content []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar", control}, {"data.tar", data}} {
		// ar(5): name, time, owner, group, mode, size; members start at even offsets.
		fmt.Fprintf(&out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", part.name, e.Time.Unix(), 0, 0, "100644", len(part.content))
		out.Write(part.content)
		if len(part.content)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	name := fmt.Sprintf("%s_%s_all.deb", e.Name, e.Version)
	if err := os.WriteFile(filepath.Join(dir, name), out.Bytes(), 0o644); err != nil {
		return "", fmt.Errorf("cannot build %s: %w", e.Name, err)
	}
	return name, nil
}

// control returns a tar archive of the control files.
func (e Exact) control() ([]byte, error) {
	stanza := deb{name: e.Name, version: e.Version, fields: e.Fields}.stanza()
	members := []Member{{Name: "/control", Content: []byte(stanza)}}
	for name, content := range e.Control {
		member := Member{Name: "/" + name, Content: []byte(content)}
		if strings.HasPrefix(content, "#!") {
			member.Mode = 0o755
		}
		members = append(members, member)
	}
	return e.tar(members)
}

// data returns a tar archive of the members and the directories above them.
func (e Exact) data() ([]byte, error) {
	there := make(map[string]bool)
	var all []Member
	for _, member := range e.Members {
		var above []Member
		for dir := path.Dir(member.Name); !there[dir]; dir = path.Dir(dir) {
			there[dir] = true
			above = append([]Member{{Name: dir, Type: tar.TypeDir, Mode: 0o755}}, above...)
		}
		there[member.Name] = true
		all = append(append(all, above...), member)
	}
	return e.tar(all)
}

func (e Exact) tar(members []Member) ([]byte, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, member := range members {
		header := &tar.Header{
			Typeflag: member.Type, Name: "." + member.Name, Mode: int64(member.Mode), Linkname: member.Link,
			Uid: member.UID, Gid: member.GID, Size: int64(len(member.Content)), ModTime: e.Time,
			Format: tar.FormatGNU,
		}
		switch member.Type {
		case 0:
			header.Typeflag = tar.TypeReg
		case tar.TypeLink:
			header.Linkname = "." + member.Link
		case tar.TypeDir:
			header.Name = strings.TrimSuffix(header.Name, "/") + "/"
		}
		if member.Mode == 0 {
			header.Mode = 0o644
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(member.Content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
