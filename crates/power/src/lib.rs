//! Power: Wake-on-LAN and the guarded power-off over ssh.
