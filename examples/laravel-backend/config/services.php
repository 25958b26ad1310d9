<?php

// The apps whose tokens are accepted: Kakao's app number, Google's and Apple's client IDs.
// array_filter removes the empty entry of an unset variable.

return [
    'kakao' => ['apps' => array_filter(explode(',', env('KAKAO_APPS', '')))],
    'google' => ['apps' => array_filter(explode(',', env('GOOGLE_APPS', '')))],
    // Where Munjigi is, and its BACKEND_EVENTS_TOKEN. Without them, sessions end at the next revalidation.
    'munjigi' => ['url' => env('MUNJIGI_URL'), 'token' => env('MUNJIGI_EVENTS_TOKEN')],
    'apple' => ['apps' => array_filter(explode(',', env('APPLE_APPS', '')))],
];
