package images

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// systemFolders are never served from, whatever is allowed: they hold devices
// that never end and files that nobody means to deploy (the list is Ironic's).
func systemFolders() []string {
	return []string{"/dev", "/sys", "/proc", "/boot", "/run", "/etc"}
}

// maxURL bounds an image_source in bytes.
const maxURL = 4096

// plan is a Source that passed the checks.
type plan struct {
	url    *url.URL
	sum    digest
	scheme string // file, http or builtin
	// file: the allowed folder and the name inside it, both resolved.
	folder, name string
}

// parse checks src without opening anything: syntax, policy, and for a file a
// stat. Errors are of kind ErrRefused.
func (s *Store) parse(src Source) (plan, error) {
	raw := strings.TrimSpace(src.URL)
	if raw == "" {
		return plan{}, refusef("no image_source is set; set instance_info/image_source")
	}
	if len(raw) > maxURL {
		return plan{}, refusef("image_source is %d bytes long; at most %d are accepted", len(raw), maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return plan{}, refusef("image_source is not a URL: %v", errors.Unwrap(err))
	}
	sum, err := parseChecksum(src.Checksum)
	if err != nil {
		return plan{}, err
	}
	p := plan{url: u, sum: sum, scheme: strings.ToLower(u.Scheme)}
	switch p.scheme {
	case "file":
		p.folder, p.name, err = s.checkFile(u)
		return p, err
	case "http", "https":
		p.scheme = "http"
		if err := s.net.checkURL(u); err != nil {
			return plan{}, err
		}
		if sum == (digest{}) {
			return plan{}, refusef("an image from the network needs a checksum; set instance_info/image_checksum to its sha256")
		}
		return p, nil
	case "builtin":
		if _, ok := s.cfg.Builtins[u.Opaque]; !ok {
			return plan{}, refusef("there is no builtin image %q", u.Opaque)
		}
		return p, nil
	case "":
		return plan{}, refusef("image_source %q has no scheme; use file:///…, https://… or builtin:NAME", raw)
	default:
		return plan{}, refusef("image_source scheme %q is not supported; use file://, http://, https:// or builtin:NAME", u.Scheme)
	}
}

// checkFile resolves a file URL to an allowed folder and a name inside it.
func (s *Store) checkFile(u *url.URL) (folder, name string, err error) {
	if u.Host != "" && !strings.EqualFold(u.Host, "localhost") || u.User != nil {
		return "", "", refusef("%q names another host; write file:///PATH", u.Redacted())
	}
	if u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(u.Path, "/") {
		return "", "", refusef("%q is not of the form file:///PATH", u.Redacted())
	}
	if strings.ContainsRune(u.Path, 0) {
		return "", "", refusef("the path of image_source holds a NUL byte")
	}
	path := filepath.Clean(u.Path)
	if inSystemFolder(path) {
		return "", "", refusef("%q is in a system folder, from which no image is taken", path)
	}
	if len(s.folders) == 0 {
		return "", "", refusef("no folder is allowed for file:// images; add one to the configuration")
	}
	// Do not tell whether files outside the allowed folders exist.
	lexical := ""
	for _, f := range s.folders {
		if within(f.name, path) || within(f.real, path) {
			lexical = f.name
		}
	}
	if lexical == "" {
		return "", "", refusef("%q is not in an allowed folder (%s)", path, strings.Join(s.cfg.FileFolders, ", "))
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", "", refusef("%q does not exist", path)
		}
		return "", "", refusef("%q cannot be read: %v", path, errors.Unwrap(err))
	}
	if inSystemFolder(real) {
		return "", "", refusef("%q leads to a system folder, from which no image is taken", path)
	}
	for _, f := range s.folders {
		if within(f.real, real) {
			folder = f.real
		}
	}
	if folder == "" {
		return "", "", refusef("%q is a symbolic link that leaves the allowed folder %q", path, lexical)
	}
	st, err := os.Lstat(real)
	if err != nil || !st.Mode().IsRegular() {
		return "", "", refusef("%q is not a regular file", path)
	}
	name, err = filepath.Rel(folder, real)
	if err != nil {
		return "", "", refusef("%q cannot be resolved: %v", path, err)
	}
	return folder, name, nil
}

// within tells whether path is folder or below it; both are clean.
func within(folder, path string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

func inSystemFolder(path string) bool {
	for _, f := range systemFolders() {
		if within(f, path) {
			return true
		}
	}
	return false
}

// label names the source in messages, without the query, which may be a
// signature that grants access.
func (p plan) label() string {
	if p.scheme != "http" {
		return p.url.String()
	}
	u := *p.url
	u.RawQuery, u.Fragment = "", ""
	return u.Redacted()
}
