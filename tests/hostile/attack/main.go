// Attack tries to escape from a sandbox (package hostile).
package main

import "github.com/apt-be/apt-be/tests/hostile"

func main() { hostile.Main() }
