#!/bin/sh
# What the guest's kernel counted against IPsec packets, over HTTP.
printf 'Content-Type: text/plain\r\n\r\n'
cat /proc/net/xfrm_stat
