package ahead

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
)

// news are the files that apt-listchanges(1) shows by default, as a package's
// md5sums names them.
var news = regexp.MustCompile(`^[0-9a-f]{32}  usr/share/doc/[^/]+/NEWS\.Debian(\.gz)?$`)

// noteNews notes whether a package has no news. What can't be found out is not
// noted.
func (q *queue) noteNews(ctx context.Context, pkg string) {
	control, err := exec.CommandContext(ctx, q.Backend, "--ctrl-tarfile", pkg).Output()
	if err != nil {
		return
	}
	if sums, err := member(control, "./md5sums"); err == nil && len(sums) > 0 && !hasNews(sums) {
		_ = os.WriteFile(q.place(pkg)+noNews, nil, 0o600)
	}
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
