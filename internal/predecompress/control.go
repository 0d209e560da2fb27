package predecompress

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// readControl makes a package's control files ready, the fields that
// apt-listchanges asks for, and the note that it has no news. What can't be found
// out is left to dpkg-deb.
func (q *queue) readControl(ctx context.Context, pkg string) {
	place := q.place(pkg)
	if exists(place + done) {
		return
	}
	files, err := exec.CommandContext(ctx, q.Backend, "--ctrl-tarfile", pkg).Output()
	if err != nil || !q.reserve(len(files)) {
		return
	}
	control, err := member(files, "./control")
	if err != nil {
		return
	}
	_ = write(place+controlFiles, files)
	if answer, err := listchangesFields(control); err == nil {
		_ = write(place+fields, answer)
	}
	if sums, err := member(files, "./md5sums"); err == nil && len(sums) > 0 && !hasNews(sums) {
		_ = write(place+noNews, nil)
	}
}

// reserve says whether there is room for so many bytes of control files: most of
// the room is for what saves more time.
func (q *queue) reserve(size int) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(q.Dir, &st); err != nil {
		return false
	}
	return uint64(q.small.Add(int64(size))) <= st.Blocks*uint64(st.Bsize)/4
}

// write makes a file that is whole when it appears.
func write(name string, content []byte) error {
	part := name + part
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, name)
}

// member returns the content of a file in a tar archive.
func member(archive []byte, name string) ([]byte, error) {
	for files := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, os.ErrNotExist
		}
		if err != nil {
			return nil, err
		}
		if header.Name == name {
			return io.ReadAll(files)
		}
	}
}

// asked are the fields that apt-listchanges (3.24, 4.8) has dpkg-deb print of
// each package.
var asked = []string{"Package", "Source", "Version", "Architecture", "Status"}

// plain is a value that dpkg, which prints what it has understood, prints as it
// is written. (An epoch of zero it drops.)
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+:~-]*( \([A-Za-z0-9.+:~-]+\))?$`)

// listchangesFields returns what "dpkg-deb --field PACKAGE" prints of a control
// file if it is asked for those fields. It is an error if that is not certain.
func listchangesFields(control []byte) ([]byte, error) {
	values := map[string]string{}
	last := ""
	for line := range strings.Lines(string(control)) {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			if _, ok := values[last]; ok {
				return nil, fmt.Errorf("the field %q has more than a line", last)
			}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		last = name
		for _, field := range asked {
			if strings.EqualFold(name, field) {
				last, values[field] = field, strings.TrimSpace(value)
			}
		}
	}
	var answer bytes.Buffer
	for _, field := range asked {
		value, ok := values[field]
		if !ok {
			continue
		}
		if !plain.MatchString(value) || field == "Version" && strings.HasPrefix(value, "0:") {
			return nil, fmt.Errorf("dpkg-deb may print another %s than %q", field, value)
		}
		fmt.Fprintf(&answer, "%s: %s\n", field, value)
	}
	return answer.Bytes(), nil
}

// news are the files that apt-listchanges(1) shows by default, as a package's
// md5sums names them.
var news = regexp.MustCompile(`^[0-9a-f]{32}  usr/share/doc/[^/]+/NEWS\.Debian(\.gz)?$`)

// hasNews looks through md5sums. What it can't read may be news.
func hasNews(sums []byte) bool {
	lines := bufio.NewScanner(bytes.NewReader(sums))
	for lines.Scan() {
		if news.Match(lines.Bytes()) {
			return true
		}
	}
	return lines.Err() != nil
}
