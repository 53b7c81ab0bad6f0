#!/bin/bash
# Neither curl nor wget is needed.
exec 3<>/dev/tcp/127.0.0.1/8080
printf 'GET /_maintenance/alive HTTP/1.0\r\n\r\n' >&3
read -r -t 3 line <&3
[[ $line == *' 204 '* ]]
